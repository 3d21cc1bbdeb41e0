"""What the check found, as Markdown for people."""


def table(found):
    machine = found["machine"]
    card = machine.get("card", {}).get("name", "no GPU")
    lines = [
        f"{card}; {machine['processor']}, {machine['cores']} cores, load {machine['load']} at the start; "
        f"PyTorch {machine['modules']['torch']}; {machine['program']} on {machine['libtorch']}; {found['seconds']} s in all",
        "",
        "| part | state | seconds | |",
        "|---|---|---|---|",
    ]
    for name, part in found["parts"].items():
        lines.append(f"| {name} | {part['state']} | {part['seconds']} | {about(part)} |")
    lines += [
        "",
        "| images a second | ours, whole | ours, without the start | waits | computes | of the card's peak | PyTorch | PyTorch, no files | ours / PyTorch | ours, card | PyTorch, card |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, part in found["parts"].items():
        for precision, own in part.get("ours", {}).items():
            lines.append(f"| {name}, {precision} | " + " | ".join(cells(own, part.get("reference", {}), precision)) + " |")
    lines += ["", "| training | step | loss | factor of the loss |", "|---|---|---|---|"]
    for name, part in found["parts"].items():
        for precision, own in part.get("ours", {}).items():
            if "step_seconds" in own:
                lines.append(f"| {name}, {precision} | {own['step_seconds'] * 1e3:.1f} ms | {number(own.get('loss'), '.4f')} | {number(own.get('loss_scale'), 'g')} |")
    for precision, rate in found["parts"].get("peak", {}).get("operations_per_second", {}).items():
        lines += ["", f"The card's peak in {precision}, of the largest rate of two products: {rate / 1e12:.3g} Tflop/s."]
    return "\n".join(lines) + "\n"


def cells(own, reference, precision):
    theirs = reference.get("precisions", {}).get(precision, {})
    return [
        number(own["images_per_second"], ".0f"),
        number(own["steady_images_per_second"], ".0f"),
        number(own["waiting_share"], ".0%"),
        number(own["computing_share"], ".0%"),
        number(own.get("share_of_peak"), ".1%"),
        number((theirs.get("fed") or {}).get("images_per_second"), ".0f"),
        number((theirs.get("alone") or {}).get("images_per_second"), ".0f"),
        number(own.get("times_pytorch"), ".2f"),
        gigabytes(own["card_bytes"]),
        gigabytes(reference.get("card_bytes")),
    ]


def number(value, form):
    return "–" if value is None else format(value, form)


def gigabytes(value):
    return "–" if value is None else f"{value / 1e9:.1f} GB"


def about(part):
    said = []
    for key in ["reason", "format"]:
        if part.get(key):
            said.append(str(part[key]))
    names = {"twice": "twice on the device", "tolerance": "the device against the CPU", "resume": "killed and gone on"}
    for key, name in names.items():
        if key in part:
            said.append(f"{name}: {part[key]['state']} {part[key].get('reason', '')}".strip())
    if part.get("least_cosine"):
        said.append(f"least cosine {min(part['least_cosine'].values()):.6f}")
    if part.get("verdicts"):
        said.append(", ".join(f"{count} {verdict}" for verdict, count in part["verdicts"].items()))
    if part.get("reference", {}).get("reason"):
        said.append(f"PyTorch {part['reference']['state']}: {part['reference']['reason']}")
    return "; ".join(said).replace("\n", " ").replace("|", "/")
