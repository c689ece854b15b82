// Pictures of the whole cluster: each is a function from the state to elements.

import { age, amount, count, h } from "./dom.js";

const SHOWN = 400;
const SIGNS = { well: "", busy: "…", bad: "!", done: "✓" };
const TONES = { well: "running", busy: "on their way", bad: "in trouble", done: "done" };

export const address = (pod) =>
  `#/pod/${encodeURIComponent(pod.namespace)}/${encodeURIComponent(pod.name)}`;
const nodeAddress = (name) => `#/node/-/${encodeURIComponent(name)}`;
const workloadAddress = (one) =>
  `#/${one.kind}/${encodeURIComponent(one.namespace)}/${encodeURIComponent(one.name)}`;

export function overview({ overview: all, pods, now }) {
  return [
    hero(all, pods),
    h("div", { class: "columns" },
      h("div", { class: "wide" },
        section("Nodes", count(all.nodes.length, "node"),
          h("div", { class: "nodes" }, all.nodes.map((node) => nodeCard(node, pods)), unplaced(pods))),
        section("Workloads", count(all.workloads.length, "workload"), workloadTable(all.workloads, pods))),
      h("div", { class: "narrow" },
        section("Wrong now", count(all.problems.length, "problem"), problemList(all.problems)),
        section("Recent warnings", "", warningList(all.warnings.slice(0, 8), now)))),
  ];
}

function hero(all, pods) {
  const plane = all.controlPlane;
  const wrong = all.problems.length;
  const ready = all.nodes.filter((node) => node.isReady).length;
  const running = pods.filter((pod) => pod.tone === "well").length;
  const met = all.workloads.filter((one) => one.ready >= one.wanted).length;
  const checks = Object.entries(plane.checks ?? {});
  const failing = checks.filter(([, said]) => said).map(([name]) => name);
  return h("section", { class: `hero ${wrong ? "bad" : "well"}`, "aria-label": "State" },
    h("div", { class: "verdict" },
      h("span", { class: "sign", "aria-hidden": "true" }, wrong ? "!" : "✓"),
      h("div", {},
        h("h1", {}, wrong ? `${count(wrong, "thing is", "things are")} wrong` : "All is well"),
        h("p", {}, `${plane.server} · ${plane.version} · answers in ${plane.latencyMs} ms`,
          failing.length ? ` · not well: ${failing.join(", ")}` : ""))),
    h("dl", { class: "figures" },
      figure("Nodes ready", ready, all.nodes.length),
      figure("Pods running", running, pods.filter((pod) => pod.tone !== "done").length),
      figure("Workloads as wanted", met, all.workloads.length)));
}

function figure(name, value, of) {
  return h("div", { class: value < of ? "short" : "" },
    h("dt", {}, name), h("dd", {}, h("b", {}, value), h("span", {}, ` / ${of}`)));
}

export function section(title, aside, ...body) {
  return h("section", { class: "panel" },
    h("header", {}, h("h2", {}, title), aside && h("span", {}, aside)), body);
}

function unplaced(pods) {
  const waiting = pods.filter((pod) => !pod.node && pod.tone !== "done");
  return waiting.length > 0 && h("article", { class: "node none", "data-key": "-" },
    h("header", {}, h("h3", {}, "Without a node"), h("span", {}, count(waiting.length, "pod"))),
    tiles(waiting));
}

function nodeCard(node, pods) {
  const here = pods.filter((pod) => pod.node === node.name);
  const [word, tone] = node.isReady ? ["Ready", "well"] : ["NotReady", "bad"];
  return h("article", { class: `node ${tone}`, "data-key": node.name },
    h("header", {},
      h("h3", {}, h("a", { href: nodeAddress(node.name) }, node.name)),
      h("span", { class: "badges" },
        node.isCordoned && badge("cordoned", "busy"), badge(word, tone))),
    tiles(here),
    h("div", { class: "meters" }, meter("cpu", node.cpu), meter("memory", node.memory)));
}

export function badge(text, tone) {
  return h("span", { class: `badge ${tone}` }, text);
}

function tiles(pods) {
  if (!pods.length) return h("p", { class: "empty" }, "No pods");
  return h("ul", { class: "tiles" }, pods.map((pod) => h("li", { "data-key": `${pod.namespace}/${pod.name}` },
    h("a", {
      class: `tile ${pod.tone}`,
      href: address(pod),
      title: `${pod.namespace}/${pod.name}\n${pod.state}${pod.what ? `\n${pod.what}` : ""}`,
      "aria-label": `pod ${pod.namespace}/${pod.name}: ${pod.state}`,
    }, SIGNS[pod.tone]))));
}

function meter(name, of) {
  const share = of.allocatable ? of.requested / of.allocatable : 0;
  const used = of.used === undefined ? "" : ` · ${amount(name, of.used)} in use`;
  return h("div", { class: "meter" },
    h("span", {}, name),
    h("span", { class: "figure" }, `${amount(name, of.requested)} of ${amount(name, of.allocatable)}${used}`),
    h("span", { class: `gauge ${share > 0.95 ? "bad" : share > 0.8 ? "busy" : ""}`, share, "aria-hidden": "true" }));
}

function problemList(problems) {
  if (!problems.length) return h("p", { class: "empty" }, "Nothing. Enjoy the view.");
  return h("ul", { class: "problems" }, problems.slice(0, 30).map((one) =>
    h("li", { "data-key": `${one.kind}/${one.namespace ?? ""}/${one.name}` },
      h("a", { href: problemAddress(one) },
        h("b", {}, one.name), h("span", { class: "kind" }, `${one.kind}${one.namespace ? ` · ${one.namespace}` : ""}`)),
      h("p", {}, one.what),
      h("code", {}, one.why))));
}

function problemAddress(one) {
  if (one.kind === "node") return nodeAddress(one.name);
  return one.namespace ? workloadAddress(one) : "#/";
}

function warningList(warnings, now) {
  if (!warnings.length) return h("p", { class: "empty" }, "None in the last ten minutes.");
  return h("ul", { class: "warnings" }, warnings.map((one) =>
    h("li", { "data-key": `${one.namespace}/${one.about}/${one.reason}` },
      h("p", {}, h("b", {}, one.reason), ` ${one.about}`, h("time", {}, `${age(one.lastSeen, now)} ago`)),
      h("p", { class: "message" }, one.message))));
}

const heading = (text) => h("h1", { class: "unseen" }, text);

export function warnings({ overview: all, now }) {
  return [heading("Warnings"), section("Warnings", "of the last ten minutes", warningList(all.warnings, now))];
}

export function workloads({ overview: all, pods }) {
  return [
    heading("Workloads"),
    section("Workloads", count(all.workloads.length, "workload"), workloadTable(all.workloads, pods)),
  ];
}

function workloadTable(all, pods) {
  if (!all.length) return h("p", { class: "empty" }, "None yet: longshore deploy IMAGE makes one.");
  const byOwner = new Map();
  for (const pod of pods) {
    const key = `${pod.namespace}/${pod.owner}`;
    byOwner.set(key, [...(byOwner.get(key) ?? []), pod]);
  }
  const row = (one) => {
    const share = one.wanted ? Math.min(1, one.ready / one.wanted) : 1;
    return h("tr", { "data-key": `${one.kind}/${one.namespace}/${one.name}` },
      h("th", { scope: "row" }, h("a", { href: workloadAddress(one) }, one.name),
        h("span", { class: "kind" }, one.kind)),
      h("td", {}, one.namespace),
      h("td", { class: "ready" },
        h("span", { class: `gauge ${share < 1 ? "busy" : "full"}`, share, "aria-hidden": "true" }),
        `${one.ready}/${one.wanted}`),
      h("td", {}, tiles(byOwner.get(`${one.namespace}/${one.kind}/${one.name}`) ?? [])));
  };
  return table(["Name", "Namespace", "Ready", "Pods"], all.map(row));
}

export function table(names, rows) {
  return h("div", { class: "scroll" }, h("table", {},
    h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, rows)));
}

/** All pods, or those that fit what is looked for. */
export function pods({ pods: all, now }, { text = "", tone = "" }) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = (pod) => {
    const hay = `${pod.namespace}/${pod.name} ${pod.node} ${pod.state} ${pod.owner} ${pod.images.join(" ")}`.toLowerCase();
    return words.every((word) => hay.includes(word));
  };
  const found = all.filter(fits);
  const shown = found.filter((pod) => !tone || pod.tone === tone);
  const chip = (value, name, number) =>
    h("button", { type: "button", class: `chip ${value}`, "data-tone": value, "aria-pressed": String(tone === value) },
      name, h("span", {}, number));
  return [
    heading("Pods"),
    h("div", { class: "chips", role: "group", "aria-label": "Which pods" },
      chip("", "all", found.length),
      Object.entries(TONES).map(([value, name]) =>
        chip(value, name, found.filter((pod) => pod.tone === value).length))),
    section("Pods", text ? `with “${text}”` : "", podTable(shown, now)),
  ];
}

export function podTable(pods, now) {
  if (!pods.length) return h("p", { class: "empty" }, "No pods.");
  const row = (pod) => h("tr", { "data-key": `${pod.namespace}/${pod.name}` },
    h("th", { scope: "row" }, h("a", { href: address(pod) }, pod.name), pod.what && pod.tone !== "done" && h("p", { class: "what" }, pod.what)),
    h("td", {}, pod.namespace),
    h("td", {}, badge(pod.state, pod.tone)),
    h("td", {}, pod.ready),
    h("td", { class: pod.restarts ? "" : "nothing" }, pod.restarts),
    h("td", {}, pod.node || "–"),
    h("td", {}, pod.ip || "–"),
    h("td", {}, age(pod.created, now)));
  const more = pods.length - SHOWN;
  return [
    table(["Name", "Namespace", "State", "Ready", "Restarts", "Node", "Address", "Age"], pods.slice(0, SHOWN).map(row)),
    more > 0 && h("p", { class: "empty" }, `And ${count(more, "more pod")}: narrow the search.`),
  ];
}
