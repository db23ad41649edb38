// The organs, the chosen one's sentence, and what the slice that is shown has to say to it.
const CLAIMED = 2;

function showOrgans() {
  const before = document.activeElement?.dataset?.organ;
  [$("network").textContent, $("rate").textContent] = frame().network[state.rule];
  $("tests").hidden = !$("rate").textContent;
  $("organs").replaceChildren();
  for (const o of DATA.order) {
    const button = child($("organs"), "button", organInShort(o));
    button.title = frame().sentences[state.rule][o];
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", String(o === state.organ));
    button.dataset.organ = o;
    button.addEventListener("click", () => { chooseOrgan(o); show(); });
    if (String(o) === before) button.focus();
  }
  $("headline").textContent = frame().sentences[state.rule][state.organ];
  const found = inStep();
  $("instep").textContent = `The ${IMAGE} below, ${sliceName()}: ` +
    `${found.map(([words]) => words).join("; ")}.`;
  $("instep").className = found.some(([, against]) => against) ? "strong" : "";
}

// Name, Dice and, where one is claimed, the stage from which on maps lie on it.
function organInShort(o) {
  const f = FRAMES[state.frame], [stage, says] = f.named[state.rule][o];
  const name = plain(DATA.organs[o]), e = DATA.all_epochs.indexOf(f.epoch);
  const dice = DATA.organ_dice[e * ORGANS + o], claimed = says === CLAIMED && !isSilent(f, o);
  return name.charAt(0).toUpperCase() + name.slice(1) +
    (Number.isFinite(dice) ? ` · Dice ${brief(dice)}` : "") +
    (claimed ? ` · ◆ from ${DATA.stages[stage]}` : "");
}

// The sentence says that the network does not find the organ, and speaks of no stage.
const isSilent = (f, o) => f.missed.includes(DATA.organs[o]);

// [words, whether they speak against the headline] of the shown slice.
function inStep() {
  const { organ, slice, rule } = state, f = FRAMES[state.frame], found = [];
  if (frame().region) {
    found.push([`the sentences speak of the ${DATA.region}, shown are the ${frame().region}`, true]);
  }
  if (!present(f, organ, slice)) {
    return [...found, [`not one of those the sentence speaks of, ${organName()} is not on it`, true]];
  }
  const [stage, says] = named();
  found.push(...diceInStep());
  if (says !== 0 && !frame().region && !isSilent(f, organ)) found.push(gainInStep(f, stage, says, rule, organ, slice));
  return found.length ? found : [["nothing more is known of it", false]];
}

const verdict = (dice) => DATA.verdicts.findIndex(([least]) => dice >= least);

function diceInStep() {
  const here = diceOf(state.organ, state.slice);
  const e = DATA.all_epochs.indexOf(frame().epoch);
  const all = DATA.organ_dice[e * ORGANS + state.organ];
  if (!Number.isFinite(here)) return [];
  const worse = verdict(here) > verdict(all);
  const words = worse ? `, here ${DATA.verdicts[verdict(here)][1]}` : "";
  return [[`Dice ${brief(here)} on it${words}`, worse]];
}

function gainInStep(f, stage, says, rule, organ, slice) {
  const at = DATA.stages[stage], status = statusOf(f, stage, rule, organ, slice);
  const gain = numberOf(f, "gain", stage, rule, organ, slice);
  if (!readable(status) || !Number.isFinite(gain)) {
    return [`at ${at}, which the sentence names, it has no map that can be judged`, true];
  }
  const zero = FRAMES.find(({ epoch }) => epoch === 0);
  const before = zero ? numberOf(zero, "gain", stage, rule, organ, slice) : NaN;
  const beyond = gain - Math.max(Number.isFinite(before) ? before : 0, 0);
  const numbers = `gain ${brief(gain)} at ${at}` +
    (Number.isFinite(before) ? `, untrained ${brief(before)}` : "");
  if (says > 0 && beyond <= 0) {
    return [`${numbers}: this ${DATA.plane ? "volume" : IMAGE} does not show what the sentence says of ${at}`, true];
  }
  if (says < 0 && beyond >= DATA.margin) {
    return [`${numbers}: this ${DATA.plane ? "volume" : IMAGE} alone would say otherwise`, true];
  }
  return [numbers, false];
}
