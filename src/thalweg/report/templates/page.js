"use strict";
// Draws each chart into its place, at the width that the page gives it, and offers the report
// that the page holds as a file. Colours are CSS variables, so a change of theme needs no redraw.

(() => {
  const options = {
    actions: false,
    ast: true, // an interpreter, because the page's policy forbids making code from texts
    defaultStyle: false,
    mode: "vega-lite",
    renderer: "svg",
    tooltip: { theme: "page" },
  };

  async function draw(place, spec) {
    try {
      await vegaEmbed(place, spec, options);
    } catch (error) {
      console.error(error);
      place.textContent = "This chart could not be drawn.";
    }
  }

  function save() {
    // As it was written: JavaScript's own numbers would lose digits of large ones.
    const text = document.getElementById("report").textContent + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = "report.json";
    link.click();
    URL.revokeObjectURL(link.href);
  }

  function unfoldForPrint() {
    for (const folded of document.querySelectorAll("details:not([open])")) {
      folded.open = true;
      addEventListener("afterprint", () => (folded.open = false), { once: true });
    }
  }

  const charts = JSON.parse(document.getElementById("charts").textContent);
  const places = [...document.querySelectorAll("[data-chart]")];
  const drawn = places.map((place) => draw(place, charts[place.dataset.chart]));
  Promise.all(drawn).then(() => (document.documentElement.dataset.charts = "drawn"));

  document.getElementById("save").addEventListener("click", save);
  addEventListener("beforeprint", unfoldForPrint);
})();
