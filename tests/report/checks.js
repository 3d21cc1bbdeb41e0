// Looks at the page as a reader does, and leaves what it found as JSON in an element called `checks`.
addEventListener("load", () => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const answer = { dark: matchMedia("(prefers-color-scheme: dark)").matches };

  // Nothing is fetched, nothing could be.
  answer.fetched = performance.getEntriesByType("resource").map((entry) => entry.name).filter((name) => !name.startsWith("data:"))
    .concat(all("[src],link[href]").map((element) => element.src || element.href).filter((address) => !address.startsWith("data:")));

  // Names.
  const named = (element) => {
    const by = (element.getAttribute("aria-labelledby") ?? "").split(" ").filter(Boolean).map((id) => document.getElementById(id)?.textContent ?? "").join("");
    return (element.getAttribute("aria-label") || by || element.textContent).trim() !== "";
  };
  answer.nameless = all("svg:not([aria-hidden]),button,[role=img],[role=region],[role=tablist],section[id]").filter((element) => !named(element)).map((element) => element.outerHTML.slice(0, 120));
  answer.unscoped = all("th:not([scope])").map((element) => element.outerHTML);
  const ids = all("[id]").map((element) => element.id);
  answer.repeated_ids = ids.filter((id, index) => ids.indexOf(id) !== index);

  // Contrast by WCAG 2, of every text against what is painted below it.
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const paint = canvas.getContext("2d", { willReadFrequently: true });
  const mixed = (...colours) => {
    paint.clearRect(0, 0, 1, 1);
    for (const colour of colours) { paint.fillStyle = colour; paint.fillRect(0, 0, 1, 1); }
    return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => {
    const [red, green, blue] = rgb.map((value) => { const part = value / 255; return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const grounds = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      const stripes = style.backgroundImage.includes("gradient") ? style.backgroundImage.match(/(rgba?|color)\([^()]*\)/) : null;
      if (stripes) layers.unshift(stripes[0]);
      layers.unshift(style.backgroundColor);
    }
    return layers;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  answer.contrast = [];
  answer.texts = 0;
  all("details").forEach((details) => { details.open = true; });
  while (walker.nextNode()) {
    const text = walker.currentNode;
    const element = text.parentElement;
    if (!text.textContent.trim() || element.closest("script,style,title,desc,[hidden]")) continue;
    const style = getComputedStyle(element);
    if (parseFloat(style.fontSize) === 0) continue;
    const inSvg = element instanceof SVGElement;
    const ground = mixed("#fff", ...grounds(element));
    const ink = mixed(`rgb(${ground.join(" ")})`, inSvg ? style.fill : style.color);
    const [one, other] = [luminance(ground), luminance(ink)].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    answer.texts += 1;
    if (ratio < least) answer.contrast.push(`${ratio.toFixed(2)}: ${text.textContent.trim().slice(0, 40)} <${element.tagName} class="${element.getAttribute("class")}">`);
  }
  answer.contrast = [...new Set(answer.contrast)];

  // Nothing is cut off, no label lies on another.
  answer.overflow = Math.max(0, document.documentElement.scrollWidth - innerWidth);
  answer.outside = [];
  answer.overlapping = [];
  for (const svg of all(".chart svg, .lineage")) {
    const frame = svg.getBoundingClientRect();
    if (frame.width === 0) continue;
    const texts = all("text", svg).map((text) => ({ text: text.textContent, box: text.getBoundingClientRect() }));
    for (const { text, box } of texts) {
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1) answer.outside.push(text);
    }
    texts.forEach((one, index) => texts.slice(0, index).forEach((other) => {
      const across = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
      const down = Math.min(one.box.bottom, other.box.bottom) - Math.max(one.box.top, other.box.top);
      if (across > 1 && down > 3) answer.overlapping.push(`${one.text} / ${other.text}`);
    }));
  }

  // A table sorts, and sorts the other way.
  const table = document.querySelector("#results table");
  const head = all("thead th", table).find((th) => th.textContent.trim() === "parameters");
  const column = head.cellIndex;
  const values = () => [...table.tBodies[0].rows].map((row) => Number(row.children[column].dataset.v)).filter((value) => !Number.isNaN(value));
  const button = head.querySelector("button");
  button.click();
  const down = values();
  answer.sorted = head.getAttribute("aria-sort") === "descending" && down.length > 2 && down.every((value, index) => index === 0 || down[index - 1] >= value);
  button.click();
  answer.reversed = head.getAttribute("aria-sort") === "ascending" && values().join() === [...down].reverse().join();

  // Panels, points and mistakes answer.
  const tabs = document.querySelectorAll("#map [role=tab]");
  tabs[1].click();
  answer.tab = tabs[1].getAttribute("aria-selected") === "true" && all("#map .panel").map((panel) => panel.hidden).join() === "true,false";
  tabs[0].click();
  const map = document.querySelector("#map .panel:not([hidden]) svg");
  const [x, y] = map.querySelector(".dots").getAttribute("d").match(/M(\d+) (\d+)/).slice(1).map(Number);
  const box = map.getBoundingClientRect();
  map.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + x / 1000 * box.width, clientY: box.top + y / 1000 * box.height }));
  const tip = document.getElementById("tip");
  answer.tip = !tip.hidden && tip.querySelector(".pic.s") !== null && tip.textContent.trim() !== "";
  map.dispatchEvent(new PointerEvent("pointerleave"));
  const mistake = document.querySelector("#confusion button[data-pics]");
  mistake?.click();
  answer.behind = mistake === null ? "no mistake" : mistake.closest(".panel").querySelectorAll(".behind .pic").length > 0;
  answer.charts = all("figure.chart svg").length;
  answer.pictures = all(".pic").length;
  // A picture that is shown has its sheet.
  answer.misplaced = all(".pic").filter((pic) => pic.offsetWidth > 0 && !getComputedStyle(pic).backgroundImage.startsWith("url(\"data:image/jpeg")).map((pic) => pic.outerHTML.slice(0, 120));

  const told = document.createElement("pre");
  told.id = "checks";
  told.textContent = JSON.stringify(answer);
  document.body.append(told);
});
