"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const byId = (id) => document.getElementById(id);
const make = (name, className, text) => {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
};

// Commands name the server that this page came from.
for (const block of all("pre[data-origin] code")) {
  block.textContent = block.textContent.replace(/http:\/\/127\.0\.0\.1:8000/, location.origin);
}

// --- theme
{
  const button = byId("theme");
  const root = document.documentElement;
  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const current = () => root.dataset.theme || (prefersDark.matches ? "dark" : "light");
  const tell = () => { button.textContent = current() === "dark" ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    root.dataset.theme = current() === "dark" ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* it holds for this page */ }
    tell();
  });
  prefersDark.addEventListener("change", tell);
  tell();
}

// --- contents and search
{
  const search = byId("search");
  const aside = document.querySelector("aside");
  const menu = byId("menu");
  const links = all("#contents a");
  const targetOf = (link) => byId(decodeURIComponent(link.hash.slice(1)));
  const entries = links.map((link) => ({ link, target: targetOf(link) })).map(({ link, target }) => {
    const about = target && !target.matches(".hero") && (target.querySelector(".about") || target);
    return { link, target, words: `${link.textContent} ${about ? about.textContent : ""}`.toLowerCase().replaceAll("\u200b", "") };
  });
  const open = (isOpen) => {
    aside.classList.toggle("open", isOpen);
    menu.setAttribute("aria-expanded", String(isOpen));
  };
  const look = () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const { link, target, words } of entries) {
      const isFound = wanted.every((word) => words.includes(word));
      count += isFound;
      link.parentElement.hidden = !isFound;
      if (target) target.hidden = !isFound;
    }
    for (const box of all("#contents .toc-group")) box.hidden = !box.querySelector("li:not([hidden])");
    for (const group of all(".group")) group.hidden = !group.querySelector(".operation:not([hidden])");
    byId("found").textContent = wanted.length ? `${count} of ${entries.length}` : "";
    if (wanted.length) open(true);
  };
  search.addEventListener("input", look);
  search.addEventListener("keydown", (pressed) => {
    const first = links.find((link) => !link.parentElement.hidden);
    if (pressed.key === "Escape") { search.value = ""; look(); open(false); }
    if (pressed.key === "ArrowDown" && first) { pressed.preventDefault(); first.focus(); }
    if (pressed.key === "Enter" && first) { pressed.preventDefault(); first.click(); }
  });
  byId("contents").addEventListener("keydown", (pressed) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[pressed.key];
    if (!step) return;
    pressed.preventDefault();
    const shown = links.filter((link) => !link.parentElement.hidden);
    const next = shown[shown.indexOf(document.activeElement) + step];
    (next || search).focus();
  });
  document.addEventListener("keydown", (pressed) => {
    const isTyping = /^(input|textarea|select)$/i.test(document.activeElement.tagName);
    if (pressed.key !== "/" || isTyping || pressed.ctrlKey || pressed.metaKey || pressed.altKey) return;
    pressed.preventDefault();
    search.focus();
  });
  menu.addEventListener("click", () => open(!aside.classList.contains("open")));
  byId("contents").addEventListener("click", (clicked) => { if (clicked.target.closest("a")) open(false); });
  // A link that leads to what the search hides ends the search.
  addEventListener("hashchange", () => {
    const target = byId(location.hash.slice(1));
    if (!target || !target.closest("[hidden]")) return;
    search.value = "";
    look();
    target.scrollIntoView();
  });
  const watcher = new IntersectionObserver((changes) => {
    for (const { isIntersecting, target } of changes) {
      if (!isIntersecting) continue;
      for (const entry of entries) {
        const isHere = entry.target === target;
        entry.link.classList.toggle("here", isHere);
        if (isHere) entry.link.setAttribute("aria-current", "true"); else entry.link.removeAttribute("aria-current");
        if (isHere && !aside.contains(document.activeElement)) keepInView(entry.link);
      }
    }
  }, { rootMargin: "-20% 0px -75% 0px" });
  const keepInView = (link) => {
    const box = byId("contents");
    const above = link.offsetTop - box.offsetTop - box.scrollTop;
    if (above < 0 || above > box.clientHeight - 40) box.scrollTop += above - box.clientHeight / 3;
  };
  for (const { target } of entries) if (target) watcher.observe(target);
}

// --- copying
document.addEventListener("click", async (clicked) => {
  const button = clicked.target.closest(".copy");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.closest("figure").querySelector("pre").textContent);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

// --- the token that the forms send
const token = byId("token");
if (token) {
  const state = byId("token-state");
  const tell = (text) => { state.textContent = text; };
  const told = () => tell(token.value.trim() ? "Sent with every form. Kept in this tab's memory only." : "Kept in this tab's memory only.");
  token.addEventListener("input", told);
  byId("token-clear").addEventListener("click", () => { token.value = ""; told(); });
  byId("token-form").addEventListener("submit", (sent) => sent.preventDefault());
}
const cookie = (name) => document.cookie.split("; ").find((each) => each.startsWith(`${name}=`))?.slice(name.length + 1);

// --- trying operations
const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|\b(true|false|null)\b/g;
const MAX_HIGHLIGHTED = 200_000;
const MAX_STREAMED = 60_000;
const highlight = (box, text) => {
  box.textContent = "";
  let end = 0;
  for (const found of text.matchAll(TOKEN)) {
    const [whole, quoted, colon, number] = found;
    const kind = quoted ? (colon ? "k" : "t") : number ? "n" : "w";
    box.append(text.slice(end, found.index), make("i", kind, quoted || whole), colon || "");
    end = found.index + whole.length;
  }
  box.append(text.slice(end));
};
const TOLD = ["x-cache", "age", "x-source", "x-as-of", "x-freshness", "x-missing-symbols", "ratelimit-remaining", "retry-after"];

class Trial {
  constructor(form) {
    this.form = form;
    this.method = form.dataset.method;
    this.status = form.querySelector(".status");
    this.box = form.querySelector(".answer");
    this.sendButton = form.querySelector(".send");
    this.stopButton = form.querySelector(".stop");
    form.addEventListener("submit", (sent) => { sent.preventDefault(); this.submit(); });
    this.stopButton.addEventListener("click", () => this.abort?.abort());
  }

  submit() {
    if (this.method === "DELETE" && !this.sendButton.classList.contains("sure")) {
      this.ask(true);
      return;
    }
    this.ask(false);
    this.send();
  }

  // What deletes asks once more.
  ask(isAsking) {
    this.sendButton.classList.toggle("sure", isAsking);
    this.sendButton.textContent = isAsking ? "Really delete" : "Send";
    if (isAsking) setTimeout(() => this.ask(false), 5000);
  }

  request() {
    let path = this.form.dataset.path;
    const query = new URLSearchParams();
    for (const input of all("[data-place]", this.form)) {
      if (input.dataset.place === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(input.value));
      else if (input.value) query.set(input.name, input.value);
    }
    const headers = {};
    const bearer = token?.value.trim();
    if (bearer) headers.Authorization = `Bearer ${bearer}`;
    else if (this.method !== "GET" && cookie("csrf_token")) headers["X-CSRF-Token"] = cookie("csrf_token");
    const area = this.form.querySelector("textarea");
    if (area) headers["Content-Type"] = "application/json";
    return [query.size ? `${path}?${query}` : path, { method: this.method, headers, body: area?.value }];
  }

  async send() {
    const [address, options] = this.request();
    this.abort?.abort();
    const abort = this.abort = new AbortController();
    const started = performance.now();
    this.tell("", "sending …");
    try {
      const response = await fetch(address, { ...options, signal: abort.signal, cache: "no-store" });
      const type = response.headers.get("content-type") || "";
      if (type.startsWith("text/event-stream")) await this.follow(response);
      else this.show(response, await response.text(), Math.round(performance.now() - started));
    } catch (error) {
      if (abort.signal.aborted) this.tell("", "stopped");
      else this.tell("bad", String(error));
    } finally {
      if (this.abort === abort) this.stopButton.hidden = true;
    }
  }

  tell(kind, text) {
    this.status.className = `status ${kind}`;
    this.status.textContent = text;
  }

  show(response, text, milliseconds) {
    const told = TOLD.filter((name) => response.headers.has(name)).map((name) => `${name}: ${response.headers.get(name)}`);
    this.tell(response.ok ? "good" : "bad", [`${response.status} in ${milliseconds} ms`, ...told].join(" · "));
    this.box.hidden = false;
    const code = this.box.firstElementChild;
    let shown = text;
    let answer = null;
    try {
      answer = JSON.parse(text);
      shown = JSON.stringify(answer, null, 2);
    } catch { /* not JSON: shown as it is */ }
    if (answer === null || shown.length > MAX_HIGHLIGHTED) code.textContent = shown.slice(0, MAX_HIGHLIGHTED);
    else highlight(code, shown);
    if (!response.ok) return;
    if (typeof answer?.access_token === "string") this.keep(answer.access_token);
    if (this.form.dataset.path.endsWith("/logout")) this.keep("");
  }

  keep(accessToken) {
    token.value = accessToken;
    token.dispatchEvent(new Event("input"));
  }

  async follow(response) {
    this.stopButton.hidden = false;
    this.box.hidden = false;
    const code = this.box.firstElementChild;
    code.textContent = "";
    this.box.classList.add("wrapped");
    let events = 0;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      events += value.split("event:").length - 1;
      code.textContent = (code.textContent + value).slice(-MAX_STREAMED);
      this.box.scrollTop = this.box.scrollHeight;
      this.tell("good", `${response.status}, streaming: ${events} events`);
    }
    this.tell("", "the stream has ended");
  }
}
for (const form of all(".trial")) new Trial(form);

// --- prices as they change; a tab that nobody sees asks for none
{
  const SYMBOLS = ["INDEX:NIFTY50", "INDEX:SENSEX", "INDEX:BANKNIFTY", "NSE:RELIANCE", "NSE:TCS", "NSE:HDFCBANK", "INDEX:SP500", "NASDAQ:AAPL", "NASDAQ:MSFT", "NASDAQ:NVDA"];
  const SHOWN = "NSE:TCS";
  const section = byId("ticker");
  const list = byId("ticker-prices");
  const mark = byId("ticker-mark");
  const pause = byId("ticker-pause");
  const rows = new Map();
  let source = null;
  let isPaused = false;
  const row = (symbol) => {
    if (!rows.has(symbol)) {
      const found = { price: make("b"), change: make("i") };
      const item = make("li");
      const name = make("span", "", symbol.split(":")[1]);
      name.title = symbol;
      item.append(name, found.price, found.change);
      list.append(item);
      rows.set(symbol, found);
    }
    return rows.get(symbol);
  };
  const draw = (quote) => {
    const { price, change } = row(quote.symbol);
    const text = quote.last_price.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 4 });
    if (price.textContent && price.textContent !== text) {
      price.className = "ticked";
      requestAnimationFrame(() => requestAnimationFrame(() => { price.className = ""; }));
    }
    price.textContent = text;
    const percent = quote.change_pct ?? 0;
    change.className = percent < 0 ? "down" : "up";
    change.textContent = `${percent < 0 ? "\u2212" : "+"}${Math.abs(percent).toFixed(2)}%`;
    price.title = `${quote.source}, ${quote.as_of}`;
    tell(quote.freshness);
    if (quote.symbol === SHOWN && byId("quote")) {
      highlight(byId("quote"), JSON.stringify(quote, null, 2));
      byId("quote-state").textContent = `${SHOWN} now, from this server's stream`;
    }
  };
  const tell = (word) => {
    mark.textContent = word;
    mark.className = `mark ${word}`;
  };
  const read = (told) => { section.hidden = false; JSON.parse(told.data).quotes.forEach(draw); };
  const close = () => { source?.close(); source = null; };
  const open = () => {
    if (source || isPaused || document.hidden) return;
    source = new EventSource(`/api/stream?symbols=${SYMBOLS.join(",")}`);
    source.addEventListener("snapshot", read);
    source.addEventListener("prices", read);
    source.addEventListener("stale", () => tell("stale"));
    source.addEventListener("error", () => { if (source?.readyState !== EventSource.OPEN) tell("not connected"); });
  };
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
    pause.textContent = isPaused ? "Resume" : "Pause";
    if (isPaused) close(); else open();
  });
  document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else open(); });
  addEventListener("pagehide", close);
  open();
}
