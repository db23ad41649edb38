// What is said in words: cautions, how to read the page, what made it, what lies under the cursor.
function cautions() {
  const { stage, rule, organ, slice } = state, found = [];
  const status = statusOf(frame(), stage, rule, organ, slice);
  if (status !== "ok") found.push(["status", `Not shown: ${DATA.reasons[status]}.`]);
  for (const words of DATA.slice_cautions) found.push(["slices", `${words}.`]);
  const add = (name, holds) => { if (holds) found.push([name, DATA.cautions[name]]); };
  const kappa = numberOf(frame(), "kappa", stage, rule, organ, slice);
  add("untrained", frame().epoch === 0);
  const nowhere = frame().missed.includes(DATA.organs[organ]);
  add("air", status === "ok" &&
    numberOf(frame(), "outside", stage, rule, organ, slice) > DATA.airy);
  add("averaged", Boolean(frame().region) && DATA.averaging.includes(DATA.rules[rule]));
  add("nowhere", nowhere);
  add("final", DATA.stages[stage] === DATA.final && !nowhere);
  add("echo", !frame().region && DATA.echo[at3(stage, rule, organ)]);
  add("incoherent", status === "ok" && DATA.averaging.includes(DATA.rules[rule]) &&
    kappa < DATA.low_coherence);
  add("missed", !nowhere && status !== "absent" && diceOf(organ, slice) < 0.1 &&
    ["ground truth", "false negatives"].includes(region()));
  add("parts", frame().parts[at2(organ, slice)] > 1);
  add("no_untrained", UNTRAINED < 0);
  add("unlabelled", !DATA.truth);
  add("training", DATA.training);
  add("phantom", DATA.phantom);
  add("one_run", true);
  return found;
}

function showCautions() {
  $("cautions").replaceChildren();
  for (const [name, words] of cautions()) {
    const strong = ["status", "slices"].includes(name) || STRONG.includes(name);
    child($("cautions"), "li", words, { className: strong ? "strong" : "" }).dataset.caution = name;
  }
}

function showReading() {
  const lines = [
    `Explained is ${DATA.score}, summed over the region: ${region()}.` + (frame().region
      ? ` The sentences above, echoes and the epochs' chart are of the ${DATA.region}.` : ""),
    `${plain(DATA.rules[state.rule])}: ${DATA.methods[DATA.rules[state.rule]]}. Shown is the ` +
      "positive part; dark to bright is weak to strong, and no colour is no evidence.",
    DATA.sides ? "Radiological convention: the patient's right (R) is on the left, anterior (A) " +
      "is up. Slices are counted from caudal." : "Which side is the patient's right, which way is " +
      "up and from where slices are counted is not known: the data does not say.",
    aboutCT(),
    "A map says where the score is sensitive, not why, and not that the network is right.",
  ];
  $("reading").replaceChildren();
  lines.forEach((line) => child($("reading"), "p", line));
}

// What the CT on the page is, beside what the network was given.
function aboutCT() {
  const input = `${DATA.size.join(" × ")} pixels and a window of ${DATA.window[0]} to ` +
    `${DATA.window[1]} HU`;
  const ends = DATA.ct.clipped ? " At the window's ends HU mean “or beyond”, and other windows " +
    "can only be narrower." : "";
  if (!DATA.ct.original) {
    return `The CT is the network's input, ${input}. HU are read back from it.${ends}`;
  }
  const grids = [...new Set(DATA.ct.slices.map(({ grid }) => grid.join(" × ")))];
  return `The CT is shown as its file has it, ${grids.join(" or ")} pixels before cropping. The ` +
    `network was given ${input}; labels, prediction and maps have that resolution.${ends}`;
}

function showOrigin() {
  const none = DATA.events ? "None found." : "Not looked for: events are told of the course of a " +
    "training, explain.py checkpoint='…/epoch_*.ckpt'.";
  for (const line of DATA.events?.length ? DATA.events : [none]) child($("events"), "li", line);
  const kept = FRAMES.map((f) => f.epoch);
  const dropped = DATA.all_epochs.filter((epoch) => !kept.includes(epoch));
  if (dropped.length) {
    child($("dropped"), "p", `Pictures are kept of epochs ${kept.join(", ")}. Left out, to keep ` +
      `the file small: ${dropped.join(", ")}; their numbers are in the charts.`);
  }
  const coarse = DATA.stages.filter((stage) => DATA.factors[stage] > 1);
  if (coarse.length) {
    child($("dropped"), "p", `Maps of ${coarse.join(", ")} are shown ` +
      `${DATA.factors[coarse[0]]} times coarser than they are, to keep the file small.`);
  }
  const images = [...new Set(DATA.cases)].join(", ");
  const rows = [["cases", images + (DATA.phantom ? " (phantom)" : "") +
    (DATA.training ? " (training split)" : "")], ["maps",
    "positive part in 256 steps of each map's maximum; signed values in maps.npz"], ...DATA.facts];
  for (const [name, words] of rows) {
    const row = $("facts").insertRow();
    row.insertCell().textContent = name;
    row.insertCell().textContent = words;
  }
}

function readout(canvas, event) {
  const box = canvas.getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width * WIDTH;
  const y = (event.clientY - box.top) / box.height * HEIGHT;
  const column = Math.min(Math.floor(x), WIDTH - 1), row = Math.min(Math.floor(y), HEIGHT - 1);
  if (column < 0 || row < 0) return;
  const i = row * WIDTH + column, mm = spacing();
  const hu = Math.round(valueAt(state.ct, y, x)), [low, high] = DATA.ct.clipped ? DATA.window : [];
  const words = [hu <= low ? `≤ ${hu} HU` : hu >= high ? `≥ ${hu} HU` : `${hu} HU`];
  const [side, front] = DATA.sides ? ["R", "A"] : ["left", "upper"];
  words.push(mm
    ? `${brief((x + LEFT) * mm[1], 1)} mm from the ${side} edge, ` +
      `${brief((y + TOP) * mm[0], 1)} mm from the ${front} edge`
    : `column ${column + LEFT}, row ${row + TOP} (pixel size not known)`);
  const name = (labels) => plain(DATA.names[labels[i]] || "none");
  const truth = labelsOf(DATA.truth, state.slice);
  if (truth) words.push(`truth: ${name(truth)}`);
  words.push(`prediction: ${name(labelsOf(frame().prediction, state.slice))}`);
  const map = mapOf(frame(), state.stage, state.rule, state.organ, state.slice);
  if (map) {
    const level = sampled(map, HEIGHT, WIDTH)[i];
    words.push(`evidence ${Math.round(level / 2.55)} % of the map's maximum`);
  }
  $("readout").textContent = words.join("  ·  ");
}
