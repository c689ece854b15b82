// The page: one state from the server, an address that says which view of it is shown.

import { h, morph } from "./dom.js";
import { Detail } from "./detail.js";
import * as views from "./views.js";

const main = document.getElementById("main");
const search = document.getElementById("search");
const behind = document.getElementById("behind");
const said = document.getElementById("said");

let state = null;
let detail = null;
let route = [];
let filter = { text: "", tone: "" };
let wasWrong = null;

const KINDS = new Set(["pod", "node", "deploy", "rs", "job"]);

function arrived() {
  if (!location.hash.startsWith("#/") && location.hash !== "") return; // #main: the skip link
  try {
    route = location.hash.slice(2).split("/").map(decodeURIComponent);
  } catch {
    route = [""]; // a % that escapes nothing
  }
  detail?.leave();
  detail = KINDS.has(route[0]) && route.length === 3 ? new Detail(...route, draw) : null;
  const current = detail ? "" : `#/${route[0]}`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const title = detail ? detail.name : route[0] ? route[0][0].toUpperCase() + route[0].slice(1) : "Overview";
  document.title = `${title} · Longshore`;
  if (state) {
    detail?.heard(state);
    main.replaceChildren();
    draw();
    window.scrollTo(0, 0);
  }
}

function draw() {
  if (!state) return;
  morph(main, h("main", { id: "main", tabindex: "-1" }, view(state)));
  const wrong = state.overview.problems.length;
  if (wasWrong !== null && wrong !== wasWrong) {
    said.textContent = wrong ? `${wrong} problems` : "All is well";
  }
  wasWrong = wrong;
}

function view(now) {
  if (detail) return detail.view(now);
  switch (route[0]) {
    case "pods":
      return views.pods(now, filter);
    case "workloads":
      return views.workloads(now);
    case "warnings":
      return views.warnings(now);
    default:
      return views.overview(now);
  }
}

function tell(problem) {
  behind.hidden = !problem;
  if (behind.textContent !== problem) behind.textContent = problem;
}

function listen() {
  const live = new EventSource("/live");
  live.onmessage = (event) => {
    state = JSON.parse(event.data);
    tell(state.behind ? `Out of date: ${state.behind}` : "");
    detail?.heard(state);
    draw();
  };
  live.onerror = () => tell("Out of date: longshore ui does not answer. Is it still running?");
}

search.addEventListener("input", () => {
  filter.text = search.value;
  if (route[0] !== "pods") location.hash = "#/pods";
  else draw();
});

main.addEventListener("click", (event) => {
  const chip = event.target.closest("[data-tone]");
  if (!chip) return;
  filter.tone = chip.dataset.tone;
  draw();
});

document.addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement?.tagName ?? "");
  if (event.key === "Escape" && isTyping) document.activeElement.blur();
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    event.preventDefault();
    search.focus();
  } else if (event.key === "t") {
    turn();
  }
});

function turn() {
  const isDark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  paint(isDark ? "light" : "dark");
}

function paint(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  try {
    if (theme) localStorage.setItem("theme", theme);
  } catch {
    // a browser that keeps nothing: the choice lasts as long as the page
  }
}

try {
  paint(localStorage.getItem("theme"));
} catch {
  // likewise
}
document.getElementById("theme").addEventListener("click", turn);
window.addEventListener("hashchange", arrived);
arrived();
listen();
