// What is shown as one picture, with the words that it must not be without.
const FIRST = ["checkpoint", "sha256"];

// Only letters, digits and three signs: no name of the data becomes a path.
function pictureName() {
  const look = shown();
  const words = [DATA.organs[state.organ], DATA.stages[look.stage], DATA.rules[look.rule],
    epochName(look.frame.epoch), DATA.cases[state.slice], `slice_${DATA.slices[state.slice]}`];
  return `segtrace_${words.join("_").replace(/[^A-Za-z0-9.-]+/g, "_").slice(0, 120)}.png`;
}

// What holds for the whole picture: marks, use, what made it, and what it must not be read as.
function imprint() {
  const made = DATA.facts.filter(([name]) => FIRST.includes(name))
    .map(([name, words]) => `${name} ${words.slice(0, 64)}`);
  const strong = [...document.querySelectorAll("#cautions .strong")].map((li) => li.textContent);
  return [...strong, [...(DATA.phantom ? ["PHANTOM, no patient"] : []),
    ...(DATA.training ? ["TRAINING SLICES"] : []), $("use").textContent].join(" · "),
    ["segtrace", ...(made.length ? [`newest network: ${made.join(", ")}`] : [])].join(" · ")];
}

function composed() {
  const figures = [...document.querySelectorAll(".panes figure:not([hidden])")];
  const wide = figures[0].querySelector("canvas").width, gap = 12;
  const size = Math.max(13, Math.round(wide / 32)), line = Math.round(size * 1.35);
  const whole = document.createElement("canvas"), context = whole.getContext("2d");
  const font = `${size}px sans-serif`, width = figures.length * (wide + gap) + gap;
  context.font = font;
  const under = figures.map((figure) => [...figure.querySelectorAll(".bar canvas, figcaption")]
    .filter((one) => !one.closest("[hidden]"))
    .flatMap((one) => wrapped(context, one.textContent, wide)));
  const across = (words) => wrapped(context, words, width - 2 * gap);
  const top = across(`${$("ct-words").textContent} · window ${windowWords()}`);
  const foot = imprint().flatMap(across);
  const tall = figures[0].querySelector("canvas").height;
  const head = gap + top.length * line, middle = head + tall + gap + size;
  const end = middle + Math.max(...under.map((lines) => lines.length)) * line + gap;
  [whole.width, whole.height] = [width, end + foot.length * line + gap];
  context.fillStyle = "#111417";
  context.fillRect(0, 0, whole.width, whole.height);
  context.font = font;
  context.textBaseline = "top";
  context.fillStyle = "#e8e8e8";
  const write = (lines, x, y) => lines.forEach((text, i) => context.fillText(text, x, y + i * line));
  write(top, gap, gap / 2);
  figures.forEach((figure, i) => {
    const x = gap + i * (wide + gap), colours = figure.querySelector(".bar:not([hidden]) canvas");
    context.drawImage(figure.querySelector("canvas"), x, head);
    if (colours) context.drawImage(colours, x, head + tall + 4, wide, size);
    write(under[i], x, middle);
  });
  write(foot, gap, end);
  return whole;
}

function savePicture() {
  const name = pictureName();
  composed().toBlob((blob) => {
    const link = Object.assign(document.createElement("a"),
      { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    $("done").value = `Saved as ${name}`;
  }, "image/png");
}
