"""What losses remember: a ring of rows, of which a batch replaces the oldest (`_dequeue_and_enqueue` of MoCo)."""


class Queue:
    def __init__(self, rows):
        self.rows, self.pointer, self.filled = rows.clone(), 0, 0

    def enqueue(self, rows):
        assert len(self.rows) % len(rows) == 0
        self.rows[self.pointer : self.pointer + len(rows)] = rows.detach()
        self.pointer = (self.pointer + len(rows)) % len(self.rows)
        self.filled = min(self.filled + len(rows), len(self.rows))
