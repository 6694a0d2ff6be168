// Draws the figures of the page: each element with data-figure names a block of JSON.
"use strict";

const locale = document.documentElement.lang;
if (locale !== "en") {
  const format = JSON.parse(document.body.dataset.format);
  Plotly.register({ moduleType: "locale", name: locale, dictionary: {}, format });
}

for (const place of document.querySelectorAll("[data-figure]")) {
  const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
  Plotly.newPlot(place, figure.data, figure.layout, {
    displayModeBar: false,
    locale,
    responsive: true,
  }).then(() => place.classList.add("is-drawn"));
}

// On paper nothing can be opened, so the short tables are; and pictures shrink to its width.
const PAPER_PX = 640;
const pictures = document.querySelectorAll("[data-figure]");
const tables = document.querySelectorAll("details:not(.long)");
let opened = [];
window.addEventListener("beforeprint", () => {
  opened = [...tables].filter((details) => !details.open);
  for (const details of opened) details.open = true;
  for (const place of pictures) place.style.zoom = Math.min(1, PAPER_PX / place.offsetWidth);
});
window.addEventListener("afterprint", () => {
  for (const details of opened) details.open = false;
  for (const place of pictures) place.style.zoom = "";
});
