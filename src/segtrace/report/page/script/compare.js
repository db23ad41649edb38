// A second map beside the first: another stage, rule or epoch of the same organ and slice.
function compare(on) {
  if (!on) {
    state.beside = null;
    if (state.scale === "both") state.scale = "own";
    return;
  }
  const { frame: f, stage, rule } = state;
  // What training has changed; else another rule; else the stage before.
  state.beside = f > 0 ? { frame: 0, stage, rule }
    : RULES > 1 ? { frame: f, stage, rule: step(rule, 1, RULES) }
      : { frame: f, stage: step(stage, -1, DATA.stages.length), rule };
}

function showCompare() {
  const { beside } = state;
  $("compare").checked = Boolean(beside);
  $("other").hidden = !beside;
  $("ct-figure").hidden = Boolean(beside);
  $("beside-figure").hidden = !beside;
  options($("scale"), Object.entries(SCALES).filter(([name]) =>
    (name !== "both" || beside) && (name !== "epochs" || FRAMES.length > 1)), state.scale);
  if (!beside) return;
  options($("stage2"), DATA.stages.map((stage, s) => [s, stage]), beside.stage);
  options($("rule2"), DATA.titles.map((title, r) => [r, title]), beside.rule);
  options($("epoch2"), FRAMES.map((f, i) => [i, epochName(f.epoch)]), beside.frame);
}

function listenToCompare() {
  $("compare").addEventListener("change", () => { compare($("compare").checked); show(); });
  for (const [id, key] of [["stage2", "stage"], ["rule2", "rule"], ["epoch2", "frame"]]) {
    $(id).addEventListener("change", () => {
      state.beside = { ...state.beside, [key]: Number($(id).value) };
      show();
    });
  }
}
