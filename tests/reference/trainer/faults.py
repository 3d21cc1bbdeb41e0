"""A wrong algorithm on purpose, which a comparison must tell from the right one."""


class Faults:
    """- `name`: of the mistake that is made; none: the published algorithm"""

    def __init__(self, name=None):
        self.name = name
        # Mistakes that could be made where it was asked for.
        self.possible = set()

    def made(self, name):
        self.possible.add(name)
        return name == self.name
