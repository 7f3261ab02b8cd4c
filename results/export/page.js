"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const printing = matchMedia("print");
  const ms = (ink) => ({
    title: { text: "ms" }, type: "log", exponentformat: "none", dtick: 1, minor: { showgrid: true, gridcolor: ink.grid, griddash: "dot" },
  });
  const seconds = { title: { text: "s since the start" } };

  const colours = () => {
    const light = printing.matches || !dark.matches;
    return light
      ? { ink: "#1b1f24", paper: "#ffffff", grid: "#d0d7de", lines: ["#0550ae", "#9a4a00", "#7a1f6a"], bad: "#b42318", low: "#eef3f8", high: "#08306b" }
      : { ink: "#e6edf3", paper: "#0d1117", grid: "#30363d", lines: ["#79b8ff", "#ffb77c", "#e6a5dc"], bad: "#ff8f85", low: "#1b2430", high: "#f0f6ff" };
  };

  // Lines differ by dash and by a name at their end, not by colour alone.
  const dashes = ["solid", "dash", "dot"];
  const line = (name, x, y, index, ink) => ({
    type: "scatter", mode: "lines", name, x, y, connectgaps: false,
    line: { color: ink.lines[index % 3], dash: dashes[index % 3], width: 2 },
  });

  const layout = (ink, axes) => ({
    margin: { l: 60, r: 16, t: 28, b: 48 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: ink.ink, family: "system-ui, sans-serif", size: 12 },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
    hovermode: "x unified", hoverlabel: { bgcolor: ink.low, font: { color: ink.ink } },
    xaxis: { gridcolor: ink.grid, zeroline: false, ...axes.x },
    yaxis: { gridcolor: ink.grid, zeroline: false, ...axes.y },
    shapes: axes.timed ? data.stages.filter((each) => each.at > 0).map((each) => ({
      type: "line", x0: each.at, x1: each.at, yref: "paper", y0: 0, y1: 1, line: { color: ink.ink, width: 1, dash: "dashdot" },
    })) : [],
    annotations: axes.timed ? data.stages.map((each) => ({
      x: each.at, yref: "paper", y: 1, xanchor: "left", yanchor: "top", text: each.name, showarrow: false, textangle: 90, xshift: 3, font: { size: 11 },
    })) : [],
  });

  const tails = [1, 2, 10, 100, 1000, 10000, 100000, 1e6, 1e7, 1e8];
  const names = ["0", "50", "90", "99", "99.9", "99.99", "99.999", "99.9999", "99.99999", "99.999999"];

  const charts = {
    spectrum: (ink) => [
      data.spectra.map((each, index) => ({
        ...line(each.name, each.tail, each.ms, index, ink),
        customdata: each.tail.map((tail) => +(100 * (1 - 1 / tail)).toPrecision(8)),
        hovertemplate: "%{customdata} %: %{y:.4g} ms",
      })),
      { x: { title: { text: "percentile" }, type: "log", tickvals: tails, ticktext: names }, y: ms(ink) },
    ],
    heatmap: (ink) => [
      [
        {
          type: "heatmap", x: data.series.time, y: data.heatmap.edges.slice(1).map((edge, index) => Math.sqrt(edge * data.heatmap.edges[index])),
          // Shaded by the square root, or a narrow peak would leave everything else without a shade.
          z: data.heatmap.rows.map((row) => row.map((count) => count && Math.sqrt(count))), text: data.heatmap.rows,
          colorscale: [[0, ink.low], [1, ink.high]], zmin: 0, showscale: false, hoverongaps: false,
          hovertemplate: "%{text} responses at about %{y:.3g} ms<extra></extra>",
        },
        ...["p50", "p99", "p99.9"].flatMap((name, index) => {
          const trace = line(name, data.series.time, data.series[name], index, ink);
          const halo = { ...trace, line: { color: ink.paper, width: 5 }, showlegend: false, hoverinfo: "skip" };
          return [halo, trace];
        }),
      ],
      { x: seconds, y: ms(ink), timed: true },
    ],
    rates: (ink) => [
      [
        line("responses/s", data.series.time, data.series.responses, 0, ink),
        { ...line("errors/s", data.series.time, data.series.errors, 1, ink), line: { color: ink.bad, dash: "dash", width: 2 } },
      ],
      { x: seconds, y: { rangemode: "tozero", title: { text: "1/s" } }, timed: true },
    ],
    "in-flight": (ink) => [
      [line("in flight at the end of each column", data.series.time, data.series.in_flight, 0, ink)],
      { x: seconds, y: { rangemode: "tozero" }, timed: true },
    ],
  };

  const draw = () => {
    const ink = colours();
    for (const [id, make] of Object.entries(charts)) {
      const element = document.getElementById(id);
      if (!element) continue;
      const [traces, axes] = make(ink);
      Plotly.react(element, traces, layout(ink, axes), { responsive: true, displaylogo: false, displayModeBar: false });
    }
  };
  draw();
  dark.addEventListener("change", draw);
  printing.addEventListener("change", draw);

  const button = document.getElementById("copy");
  button?.addEventListener("click", async () => {
    const text = document.getElementById("text");
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      // Browsers may not allow this for files: select the text, so that it can be copied by hand.
      getSelection().selectAllChildren(text);
      button.textContent = "Selected";
    }
  });
})();
