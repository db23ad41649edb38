"""The paragraph under a printed figure: method, equation, region, scale, image, cautions."""

from collections.abc import Sequence

from segtrace.attribution.flow import Flow
from segtrace.attribution.rules import by_name
from segtrace.report.combined import explained
from segtrace.report.record import Record
from segtrace.report.references import sentence as sources
from segtrace.report.scene import (
    FINAL,
    FINAL_WORDS,
    MISSED_WORDS,
    NO_SIDES_WORDS,
    REGIONS,
    RESEARCH_USE,
    SIDES_WORDS,
    Scene,
)

SCORES = {
    "logit": "the class's logit",
    "centered": "the class's logit less the mean over the classes",
    "logprob": "the class's log-probability",
    "prob": "the class's probability",
}


def plain(name: str) -> str:
    """A name in words: ``left_kidney`` -> ``left kidney``."""
    return name.replace("_", " ")


def titled(name: str) -> str:
    """The same as a heading: ``left_kidney`` -> ``Left kidney``."""
    return plain(name)[:1].upper() + plain(name)[1:]


def title_of(name: str) -> str:
    """A rule, or what else predicts, as people write it: ``Grad-PAM``, ``map size, Grad-PAM``."""
    rules, parts = by_name(name.split(", ")), name.split(", ")
    return ", ".join(rules[part].title if part in rules else plain(part) for part in parts)


def rule_title(flow: Flow, rule: str) -> str:
    """What people call a rule; its bare name where it does not say."""
    method = flow.methods.get(rule)
    return rule if method is None else method.title or rule


def epoch_words(epoch: int | None) -> str:
    """The age of the network."""
    if epoch is None:
        return "epoch unknown"
    return "epoch 0 (untrained)" if epoch == 0 else f"epoch {epoch}"


def marks(record: Record) -> list[str]:
    """What the image is not: a patient, or unseen in training."""
    return scene_marks(record.scene)


def scene_marks(scene: Scene) -> list[str]:
    """The same of slices, with what the network was trained on, and what counts as a case."""
    found = mark_words(scene.phantom, scene.training)
    found += ["network of a phantom"] * scene.taught_by_phantom
    return found + ["each file counted as a case"] * scene.by_file


def mark_words(phantom: bool, training: bool) -> list[str]:
    """The same of any slices."""
    found = ["phantom (generated image)"] if phantom else []
    return found + (["slices from the training split"] if training else [])


def final_words(records: Sequence[Record], organs: Sequence[str]) -> list[str]:
    """What the last stage shows of the organs that are found, and which are not."""
    missed = {organ: [r for r in records if r.missed(organ)] for organ in organs}
    said = [
        f"{titled(organ)}, {', '.join(epoch_words(r.epoch) for r in without)}: {MISSED_WORDS}."
        for organ, without in missed.items()
        if without
    ]
    found = any(len(without) < len(records) for without in missed.values())
    shown = found and FINAL in records[-1].flow.stages
    return [f"{FINAL_WORDS.capitalize()}."] * shown + said


def absent_words(record: Record) -> list[str]:
    """Which organs have no picture, since no slice has the region that is explained."""
    absent = [plain(o) for o in record.flow.organs if o not in record.organs_here]
    region = REGIONS.get(record.region, record.region)
    return [f"No picture of {', '.join(absent)}: no {region} on these slices."] * bool(absent)


def equation(flow: Flow, rule: str) -> str:
    """What a rule computes, with its paper; its bare name where it does not say."""
    method = flow.methods.get(rule)
    return rule if method is None else method.equation or rule


def paragraph(
    records: Sequence[Record],
    organs: Sequence[str],
    rule: str,
    opening: str,
    slices: Sequence[str],
    scale: str,
    number: str,
) -> str:
    """What a reader of the figure must know, in sentences.

    Args:
        records: the traces that were drawn, of the same slices and stages; the last is spoken of.
        organs: whose maps.
        rule: by which rule.
        opening: what is shown.
        slices: case and slice of what is shown; equal ones are named once.
        scale: what the colours range over.
        number: what the number below a map is.
    """
    record = records[-1]
    flow, scene = record.flow, record.scene
    sides, count = (SIDES_WORDS, "from caudal") if scene.sides_known else (
        NO_SIDES_WORDS.capitalize(), "as they come")  # fmt: skip
    truth = "ground truth solid blue, " if scene.truth is not None else ""
    sentences = [
        opening,
        f"Method: {equation(flow, rule)}.",
        f"y: {SCORES.get(flow.score, flow.score)}.",
        f"M: {REGIONS.get(record.region, record.region)}.",
        f"Stages: {', '.join(flow.stages)}; maps are {record.drawn}.",
        f"Colour: {scale}. Below a map, its {number}.",
        f"Contours: {truth}prediction dashed orange. {sides}.",
        f"Image: {'; '.join(dict.fromkeys(slices))} (slices counted {count}).",
        *([] if record.aggregate is None else [f"The {explained(record.aggregate)}."]),
        *final_words(records, organs),
        *(f"Note: {mark}." for mark in marks(record)),
        f"{RESEARCH_USE.capitalize()}.",
        sources(flow.methods.get(rule), None if record.aggregate is None else record.aggregate.how),
    ]
    return " ".join(sentences)
