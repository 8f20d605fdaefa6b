// The page reads as it is without this; with it, tables sort, methods hide, numbers say where they come from,
// and the image browser opens. Nothing is fetched.
"use strict";
const all = (selector, where = document) => [...where.querySelectorAll(selector)];
all(".needs-script").forEach((part) => { part.hidden = false; });
addEventListener("beforeprint", () => all("details").forEach((part) => { part.open = true; }));

// Tables: a click on a heading sorts by it, first the way that is better.
const valueOf = (row, column) => {
  const text = row.cells[column]?.dataset.value ?? row.cells[column]?.textContent.trim() ?? "";
  const number = parseFloat(text.replace("−", "-"));
  return Number.isNaN(number) ? text : number;
};
const inOrder = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);
function sort(heading) {
  const table = heading.closest("table");
  const falling = heading.ariaSort ? heading.ariaSort === "ascending" : heading.dataset.better === "higher";
  all("th", table.tHead).forEach((each) => each.removeAttribute("aria-sort"));
  heading.ariaSort = falling ? "descending" : "ascending";
  const body = table.tBodies[0];
  const rows = [...body.rows].sort((a, b) => {
    const [one, two] = [valueOf(a, heading.cellIndex), valueOf(b, heading.cellIndex)];
    return typeof one === typeof two ? (falling ? inOrder(two, one) : inOrder(one, two)) : inOrder(one, two);
  });
  rows.forEach((row) => { all(".again", row).forEach((cell) => cell.classList.remove("again")); body.append(row); });
}
all("table.sorts thead th:not(.unsorted)").forEach((heading) => {
  const button = document.createElement("button");
  button.textContent = " ⇅";
  button.ariaLabel = `sort by ${heading.textContent.trim()}`;
  button.addEventListener("click", () => sort(heading));
  const ticks = heading.querySelector("svg, br");
  if (ticks) ticks.before(button);
  else heading.append(button);
});

// Methods: a box unticked hides the method everywhere.
all("#methods-shown input").forEach((box) => box.addEventListener("change", () =>
  all("[data-method]").filter((part) => part.dataset.method === box.value).forEach((part) => { part.hidden = !box.checked; })));

// Numbers: a click or Enter shows where one comes from.
const receipt = document.getElementById("receipt");
const show = (cell) => {
  document.getElementById("receipt-text").textContent = cell.title;
  document.getElementById("receipt-command").textContent = `camdivide trace ${cell.dataset.row}`;
  receipt.showModal();
};
all("td[data-row]").forEach((cell) => {
  cell.tabIndex = 0;
  cell.addEventListener("click", () => show(cell));
  cell.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // else the same key presses the dialog's button
    show(cell);
  });
});

// Image browser
const RAMPS = {
  signed: [[5, 48, 97], [67, 147, 195], [247, 247, 247], [214, 96, 77], [103, 0, 31]],
  unsigned: [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]],
};
const colour = (share, ramp) => {
  const place = Math.min(Math.max(share, 0), 1) * (ramp.length - 1), low = Math.min(Math.floor(place), ramp.length - 2);
  return [0, 1, 2].map((i) => ramp[low][i] + (place - low) * (ramp[low + 1][i] - ramp[low][i]));
};
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

function paint(canvas, method, place, label, kind) {
  const [height, width] = method.grid, size = height * width;
  const pixels = new ImageData(width, height);
  for (let i = 0; i < size; i += 1) {
    let shade, strength;
    if (kind === "difference") {
      const value = (new Int8Array(method.bytes.difference.buffer)[place * size + i] / 127) * (label ? 1 : -1);
      shade = colour(value / 2 + 0.5, RAMPS.signed);
      strength = Math.abs(value);
    } else {
      const which = kind === "true" ? label : 1 - label;
      shade = colour(method.bytes.cams[(place * 2 + which) * size + i] / 255, RAMPS.unsigned);
      strength = 1;
    }
    pixels.data.set([...shade, 255 * strength], 4 * i);
  }
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

function browse(root) {
  const album = JSON.parse(root.querySelector("script").textContent);
  const [order, kind, opacity] = ["order", "kind", "opacity"].map((name) => root.querySelector(`[name=${name}]`));
  const margin = (method, i) => (method.logits[i] - (method.threshold ?? 0)) * (album.images[i].label ? 1 : -1);
  const wrong = (i) => album.methods.filter((method) => margin(method, i) < 0).length;
  const worst = (i) => Math.min(...album.methods.map((method) => margin(method, i)));
  const orders = {
    kept: () => 0,
    worst: (a, b) => worst(a) - worst(b),
    disagree: (a, b) => Math.min(wrong(b), album.methods.length - wrong(b)) - Math.min(wrong(a), album.methods.length - wrong(a)),
  };
  album.methods.forEach((method) => { method.bytes = { cams: bytes(method.cams), difference: bytes(method.difference) }; });
  let places = album.images.map((_, i) => i), at = 0;
  const tile = (picture, text, bad) => {
    const figure = document.createElement("figure"), layers = document.createElement("div"), image = new Image();
    const caption = document.createElement("figcaption");
    layers.className = "layers";
    image.src = picture;
    image.alt = text;
    layers.append(image);
    caption.textContent = text;
    figure.append(layers, caption);
    figure.classList.toggle("wrong", bad);
    return { figure, layers };
  };
  const draw = () => {
    const i = places[at], image = album.images[i];
    const shown = [tile(image.picture, `${image.about}: ${album.labels[image.label]}`, false).figure, tile(image.marked, "what people marked", false).figure];
    album.methods.forEach((method) => {
      const bad = margin(method, i) < 0;
      const called = album.labels[bad ? 1 - image.label : image.label];
      const { figure, layers } = tile(image.picture, `${method.name}: ${called}${bad ? ", wrong" : ""} (${method.logits[i].toFixed(1)})`, bad);
      const canvas = document.createElement("canvas");
      canvas.style.opacity = opacity.value;
      figure.dataset.method = method.name;
      const box = all("#methods-shown input").find((each) => each.value === method.name);
      figure.hidden = box !== undefined && !box.checked;
      paint(canvas, method, i, image.label, kind.value);
      layers.append(canvas);
      shown.push(figure);
    });
    root.querySelector(".album").replaceChildren(...shown);
    root.querySelector("output").textContent = `${at + 1} of ${places.length}: ${image.id}`;
  };
  const move = (by) => { at = (at + by + places.length) % places.length; draw(); };
  root.querySelector("[name=back]").addEventListener("click", () => move(-1));
  root.querySelector("[name=next]").addEventListener("click", () => move(1));
  order.addEventListener("change", () => { places = album.images.map((_, i) => i).sort(orders[order.value]); at = 0; draw(); });
  kind.addEventListener("change", draw);
  opacity.addEventListener("input", () => all("canvas", root).forEach((canvas) => { canvas.style.opacity = opacity.value; }));
  draw();
}
all(".browser").forEach((root) => {
  const fold = root.closest("details");
  if (!fold || fold.open) browse(root);
  else fold.addEventListener("toggle", () => browse(root), { once: true });
});
