// One object: why it is as it is, its events, its pods, its log.

import { age, h } from "./dom.js";
import { badge, podTable, section, table } from "./views.js";

const NAMES = { deploy: "Deployment", rs: "ReplicaSet", job: "Job", node: "Node", pod: "Pod" };
const LINES_MAX = 3000;
const SEQUENCES = /\u001b\[[0-?]*[ -/]*[@-~]|\u001b[@-_]/g; // a terminal's colours and cursor moves

/** What is shown of one object; asks for what the state does not hold. */
export class Detail {
  constructor(kind, namespace, name, changed) {
    Object.assign(this, { kind, namespace, name, changed });
    this.explanation = null;
    this.events = [];
    this.problem = "";
    this.stamp = "";
    this.log = kind === "pod" ? new Log(namespace, name) : null;
  }

  /** Look again when the object changed, and at times when it has trouble. */
  heard(state) {
    const pod = this.pod(state);
    const stamp = this.kind === "pod" ? JSON.stringify(pod ?? null) : JSON.stringify(this.pods(state));
    const tick = Math.floor(state.now / 5000);
    if (stamp + tick !== this.stamp) {
      this.stamp = stamp + tick;
      this.look();
    }
    if (pod) this.log?.heard(pod);
  }

  async look() {
    const part = encodeURIComponent;
    const number = (this.number = (this.number ?? 0) + 1);
    const of = `${part(this.kind)}/${part(this.namespace)}/${part(this.name)}`;
    const about = `involvedObject.kind=${NAMES[this.kind] ?? this.kind},involvedObject.name=${this.name}`;
    const where = this.kind === "node" ? "/api/v1/events" : `/api/v1/namespaces/${part(this.namespace)}/events`;
    const [explanation, events] = await Promise.all([
      read(`/why/${of}`),
      read(`${where}?fieldSelector=${part(about)}`),
    ]);
    if (number !== this.number) return; // a later look was quicker
    this.problem = explanation.message ?? "";
    this.explanation = explanation.findings ? explanation : null;
    this.events = (events.items ?? []).sort((a, b) => when(b).localeCompare(when(a)));
    this.changed();
  }

  pod(state) {
    return state.pods.find((pod) => pod.namespace === this.namespace && pod.name === this.name);
  }

  pods(state) {
    if (this.kind === "node") return state.pods.filter((pod) => pod.node === this.name);
    const owner = `${this.kind}/${this.name}`;
    return state.pods.filter((pod) => pod.namespace === this.namespace && pod.owner === owner);
  }

  view(state) {
    const pod = this.kind === "pod" ? this.pod(state) : null;
    const of = this.kind === "pod" ? null : this.pods(state);
    return [
      h("header", { class: "title" },
        h("p", {}, h("a", { href: this.kind === "pod" ? "#/pods" : "#/" }, this.kind === "pod" ? "← Pods" : "← Overview"),
          ` / ${this.namespace === "-" ? "" : `${this.namespace} / `}${this.kind}`),
        h("h1", {}, this.name, pod && badge(pod.state, pod.tone)),
        this.explanation && h("p", { class: "summary" }, this.explanation.summary)),
      h("div", { class: this.log ? "columns even" : "columns one" },
        h("div", {},
          section("Why", "", this.why()),
          pod && section("Facts", "", facts(pod, state.now)),
          of && section("Pods", String(of.length), podTable(of, state.now)),
          section("Events", String(this.events.length), this.eventTable(state.now))),
        this.log && h("div", {}, this.log.element)),
    ];
  }

  why() {
    if (this.problem) return h("p", { class: "empty" }, this.problem);
    if (!this.explanation) return h("p", { class: "empty" }, "Asking…");
    return h("ul", { class: "findings" }, this.explanation.findings.map((one, index) =>
      h("li", { class: one.weight, "data-key": `${one.reason}${index}` },
        h("h3", {}, one.what),
        one.evidence && h("ul", { class: "evidence" }, one.evidence.map((text) => h("li", {}, text))),
        one.output && h("pre", {}, one.output.map(plain).join("\n")),
        one.advice && h("p", {}, one.advice),
        one.next && h("div", { class: "next" }, one.next.map((text) => h("code", {}, text))))));
  }

  eventTable(now) {
    if (!this.events.length) return h("p", { class: "empty" }, "None that are still kept.");
    return table(["Seen", "Reason", "Message"], this.events.slice(0, 40).map((event) =>
      h("tr", { "data-key": event.metadata.uid },
        h("td", { class: "nowrap" }, `${age(when(event), now)} ago`, event.count > 1 && ` ×${event.count}`),
        h("td", {}, badge(event.reason, event.type === "Warning" ? "busy" : "plain")),
        h("td", {}, event.message))));
  }

  leave() {
    this.log?.stop();
  }
}

const when = (event) => event.lastTimestamp ?? event.eventTime ?? event.firstTimestamp ?? "";
const plain = (text) => text.replace(SEQUENCES, "");

function facts(pod, now) {
  const rows = [
    ["Node", pod.node || "none"],
    ["Address", pod.ip || "none"],
    ["Ready", pod.ready],
    ["Restarts", pod.restarts],
    ["Age", age(pod.created, now)],
    ["Controlled by", pod.owner || "nobody"],
    ["Image", pod.images.join(", ")],
  ];
  return h("dl", { class: "facts" }, rows.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

async function read(path) {
  try {
    const answer = await fetch(path);
    return await answer.json();
  } catch (error) {
    return { message: `longshore ui does not answer: ${error.message}` };
  }
}

/** A container's log as it is written. Its element looks after itself. */
class Log {
  constructor(namespace, name) {
    this.path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}/log`;
    this.names = "";
    this.attempt = "";
    this.isOpen = false;
    this.ending = null;
    this.select = h("select", { "aria-label": "Container" });
    this.previous = h("input", { type: "checkbox", id: "previous" });
    this.state = h("span", { class: "aside", role: "status" });
    this.lines = h("pre", { class: "log", tabindex: "0", "aria-label": "Log" });
    this.element = h("section", { class: "panel logs", "data-keep": "log" },
      h("header", {}, h("h2", {}, "Log"), this.state, h("span", { class: "grow" }),
        h("label", { for: "previous" }, this.previous, " of the attempt before"), this.select),
      this.lines);
    this.select.addEventListener("change", () => this.start());
    this.previous.addEventListener("change", () => this.start());
  }

  /** Begin once it is known which containers there are; again when there may be more to read. */
  heard(pod) {
    const attempt = `${pod.containers} ${pod.state} ${pod.restarts}`;
    if (attempt === this.attempt || (this.isOpen && `${pod.containers}` === this.names)) return;
    this.attempt = attempt;
    if (`${pod.containers}` !== this.names) {
      this.names = `${pod.containers}`;
      this.select.replaceChildren(...pod.containers.map((name) => h("option", {}, name)));
    }
    if (pod.node) this.start();
    else this.lines.replaceChildren(h("em", {}, "It has no node yet, so it has no log."));
  }

  stop() {
    this.ending?.abort();
  }

  async start() {
    this.stop();
    const ending = (this.ending = new AbortController());
    this.isOpen = true;
    const query = new URLSearchParams({ container: this.select.value, tailLines: "500" });
    query.set(this.previous.checked ? "previous" : "follow", "true");
    this.state.textContent = "opening…";
    try {
      const answer = await fetch(`${this.path}?${query}`, { signal: ending.signal });
      if (!answer.ok) {
        const said = (await answer.json()).message ?? `error ${answer.status}`;
        this.state.textContent = "";
        this.lines.replaceChildren(h("em", {}, said));
        return;
      }
      this.lines.replaceChildren();
      this.state.textContent = this.previous.checked ? "" : "following";
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        this.append(value);
      }
      this.state.textContent = "ended";
    } catch (error) {
      if (!ending.signal.aborted) this.state.textContent = `broken off: ${error.message}`;
    } finally {
      if (ending === this.ending) this.isOpen = false;
    }
  }

  append(text) {
    const box = this.lines;
    const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    box.append(plain(text));
    while (box.childNodes.length > LINES_MAX) box.firstChild.remove();
    if (isAtEnd) box.scrollTop = box.scrollHeight;
  }
}
