"""An exported model's card as pages to read, and the snippet that calls it without this package."""

from collections.abc import Mapping
from typing import Any

Card = Mapping[str, Any]

_FREE = 100  # length of a free axis in the snippet


def readme(card: Card) -> str:
    """What a receiver reads first: what it is, how it is called, what may be done with it."""
    lines = [
        f"# {card['recipe']}",
        "",
        card["about"].partition("\n")[0],
        "",
        *(["Trained on SIMULATED data.", ""] if card["simulated"] else []),
        "```python",
        *(_onnx(card) if card["format"] == "onnx" else _torch(card)),
        "```",
        "",
        f"Licence of the training data, which travels with the model: {card['licence']}.",
        "",
        "Inputs, accuracy, data and citations: [model_card.md](model_card.md); for programs: `model_card.json`.",
    ]
    return "\n".join(lines) + "\n"


def _onnx(card: Card) -> list[str]:
    return [
        "import numpy as np",
        "import onnxruntime",
        "",
        'session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])',
        "batch = {",
        *(f'    "{name}": {_array(port)},  {_note(port)}' for name, port in card["inputs"].items()),
        "}",
        "outputs = [port.name for port in session.get_outputs()]",
        "answer = dict(zip(outputs, session.run(outputs, batch)))",
        *_use(card),
    ]


def _torch(card: Card) -> list[str]:
    return [
        "import torch",
        "",
        'model = torch.export.load("model.pt2").module()',
        "batch = {",
        *(f'    "{name}": {_tensor(port)},  {_note(port)}' for name, port in card["inputs"].items()),
        "}",
        "with torch.no_grad():",
        "    answer = model(batch)",
        *_use(card),
    ]


def _use(card: Card) -> list[str]:
    classes = card["classes"]
    lines = [f"for name in {list(card['outputs'])!r}:", "    print(name, answer[name].shape)"]
    if classes and "probability" in card["outputs"]:
        lines += [f"classes = {classes!r}", 'print(classes[int(answer["probability"][0].argmax())])']
    return lines


def _array(port: Card) -> str:
    shape, dtype = _shape(port), port["dtype"]
    if dtype == "bool":
        return f"np.ones({shape}, bool)"
    return f"np.full({shape}, {port.get('padding', 0.0):g}, np.{dtype})"


def _tensor(port: Card) -> str:
    shape, dtype = _shape(port), port["dtype"]
    if dtype == "bool":
        return f"torch.ones({shape}, dtype=torch.bool)"
    value = port.get("padding", 0.0)
    return f"torch.full({shape}, {int(value) if dtype.startswith('int') else float(value)}, dtype=torch.{dtype})"


def _shape(port: Card) -> str:
    sizes = [1, *(size if isinstance(size, int) else _FREE for size in port["shape"][1:])]
    return f"({', '.join(map(str, sizes))}{',' if len(sizes) == 1 else ''})"


def _note(port: Card) -> str:
    unit = "" if port["unit"] == "1" else f" [{port['unit']}]"
    return f"# ({', '.join(port['axes'])}){unit} {port['about']}".rstrip()


def tables(card: Card) -> str:
    """The whole card in Markdown."""
    parts = [
        f"# Model card: {card['recipe']}",
        f"{card['about']}\n\n{card['protocol']}",
        "**Trained on SIMULATED data.**" if card["simulated"] else "",
        _files(card),
        _interface(card),
        _quality(card),
        _parity(card),
        _int8(card) if "int8" in card else "",
        _data(card),
        _settings(card),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _files(card: Card) -> str:
    rows = [[name, f"{about['bytes']:,}", f"`{about['sha256']}`"] for name, about in card["files"].items()]
    software = ", ".join(f"{name} {version}" for name, version in card["software"].items())
    return f"## Files\n\n{_table(['file', 'bytes', 'sha256'], rows)}\n\nMade with {software}."


def _interface(card: Card) -> str:
    parts = ["## Inputs and outputs", "An axis told by its name may have any length."]
    for side in ("inputs", "outputs"):
        rows = [
            [
                name, ", ".join(port["axes"]), " x ".join(map(str, port["shape"])), port["dtype"], port["unit"],
                port["about"], str(port.get("padding", "")),
            ]
            for name, port in card[side].items()
        ]  # fmt: skip
        parts.append(_table([side[:-1], "axes", "shape", "type", "unit", "what it is", "padding"], rows))
    if card["classes"]:
        parts.append("Classes, in the order of the probabilities: " + ", ".join(card["classes"]) + ".")
    return "\n\n".join(parts)


def _quality(card: Card) -> str:
    parts = ["## Quality"]
    if not card["evaluation"]:
        parts.append("Not evaluated: `armillary evaluate RUN` before the export tells metrics with intervals.")
    for split, result in card["evaluation"].items():
        share = f"{100 * result['confidence']:.0f} %"
        header = ["metric", "value", f"{share} interval", "better"]
        rows = [
            [name, _number(each["value"]), f"{_number(each['low'])} to {_number(each['high'])}", _better(each)]
            for name, each in result["metrics"].items()
        ]
        parts += [
            f"{split} split, {result['items']} items; {result['primary']} chose the checkpoint.",
            _table(header, rows),
        ]
    training = ", ".join(f"{key} {_number(value)}" for key, value in card["training"].items())
    return "\n\n".join([*parts, f"Training: {training}."])


def _parity(card: Card) -> str:
    parity = card["parity"]
    found = ", ".join(f"{name} {value:.1e}" for name, value in parity["largest difference"].items())
    jumps = [name for name in parity["largest difference"] if name not in parity["judged"]]
    note = (
        f" Not judged: {', '.join(jumps)} counts, and jumps where scores differ by a rounding error." if jumps else ""
    )
    return (
        f"## Same answers as the model\n\nLargest |file - model| / max(|model|, 1) over {parity['items']} "
        f"{parity['data']}: {found}; allowed {parity['tolerance']:g}.{note}"
    )


def _int8(card: Card) -> str:
    facts = card["int8"]
    metrics = list(facts["forms"]["onnx"]["metrics"])
    rows = [
        [form, *(_number(about["metrics"][name]) for name in metrics), f"{about['milliseconds']:.3f}", _bytes(about)]
        for form, about in facts["forms"].items()
    ]
    lost = f"`model_int8.onnx` is the {facts['way']} form. It loses {facts['lost']:.2f} {facts['lost unit']}"
    note = (
        f"{lost} on {facts['items']} items of the {facts['split']} split; ranges from {facts['calibration items']} "
        "training items."
    )
    parts = [
        "## Eight bits",
        note,
        _table(["form", *metrics, "ms an item", "bytes"], rows),
        f"Time: {facts['latency']}.",
    ]
    parts += [f"Not possible: {way} ({text})." for way, text in facts["failed"].items()]
    if "warning" in facts:
        parts.insert(1, f"**Warning: {facts['warning']}**")
    return "\n\n".join(parts)


def _data(card: Card) -> str:
    rows = [
        [each["id"], each["title"], "simulated" if each["simulated"] else "observed", each["licence text"]]
        for each in card["data"]
    ]
    citations = "\n".join(f"- {text}" for text in dict.fromkeys(card["citation"]))
    return (
        "## Training data\n\nTheir licences travel with the model.\n\n"
        f"{_table(['card', 'title', 'kind', 'licence'], rows)}\n\nCite:\n\n{citations}"
    )


def _settings(card: Card) -> str:
    rows = [
        [f"{part}.{name}", str(value)] for part, values in card["settings"].items() for name, value in values.items()
    ]
    return f"## Settings of data and prediction\n\nThey are part of the model.\n\n{_table(['setting', 'value'], rows)}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [
        header,
        ["---"] * len(header),
        *([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _better(estimate: Card) -> str:
    return "lower" if estimate["direction"] == "min" else "higher"


def _number(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _bytes(about: Card) -> str:
    return f"{about['bytes']:,}" if "bytes" in about else "-"
