"use strict";
// Does what the link of a mail asks for. The link's secret is in the fragment, which browsers send to nobody; it is taken
// out of the address bar at once and kept in this page alone.
{
  const WAIT_MS = 20000;
  const MIN_PASSWORD_LENGTH = 8;
  const LISTS = { "alerts": "mails about your alerts", "portfolio-summary": "summaries of your portfolios" };
  const find = (id) => document.getElementById(id);
  const [title, lead, form, passwords, password, again, act, status] =
    ["title", "lead", "form", "passwords", "password", "again", "act", "status"].map(find);
  const HOME = { title: title.textContent, lead: lead.textContent };
  let task = null;

  const TASKS = {
    verify: (token) => ({
      title: "Verify your e-mail address",
      lead: "Press the button to show that mail to this address reaches you.",
      button: "Verify my address",
      path: "/api/auth/email/verify",
      body: () => ({ token }),
      done: "Your address is verified. You can close this page.",
    }),
    reset: (token) => ({
      title: "Set a new password",
      lead: "It ends every session of your account; sign in again afterwards.",
      button: "Set my password",
      needsPassword: true,
      path: "/api/auth/password/reset",
      body: () => ({ token, password: password.value }),
      done: "Your password is set. You can close this page and sign in with it.",
    }),
    unsubscribe: (token, list) => ({
      title: "Unsubscribe",
      lead: `Press the button and we send you no more ${LISTS[list]}.`,
      button: "Unsubscribe",
      path: `/api/email/unsubscribe?${new URLSearchParams({ token, list })}`,
      done: "You are unsubscribed. You can close this page.",
    }),
  };

  const say = (text, kind) => {
    status.textContent = text;
    status.className = kind;
  };

  function taskOf(fragment) {
    const asked = new URLSearchParams(fragment);
    const kind = Object.keys(TASKS).find((name) => asked.get(name));
    const list = asked.get("list");
    if (kind === undefined || (kind === "unsubscribe" && !Object.hasOwn(LISTS, list))) return null;
    return TASKS[kind](asked.get(kind), list);
  }

  function begin() {
    const fragment = location.hash.slice(1);
    if (!fragment) return;
    history.replaceState(null, "", location.pathname);
    task = taskOf(fragment);
    const shown = task ?? HOME;
    title.textContent = document.title = shown.title;
    lead.textContent = shown.lead;
    form.reset();
    form.hidden = task === null;
    say("", "");
    if (task === null) {
      say("This link is not complete. Open it from the mail again, or copy the whole of it.", "bad");
      return;
    }
    act.textContent = task.button;
    passwords.hidden = !task.needsPassword;
    title.focus();
  }

  function problem() {
    if (!task.needsPassword) return "";
    // Counted as the server counts, in characters and not in halves of them.
    if ([...password.value].length < MIN_PASSWORD_LENGTH) return `The password needs at least ${MIN_PASSWORD_LENGTH} characters.`;
    return password.value === again.value ? "" : "The two passwords are not the same.";
  }

  async function post({ path, body }) {
    const options = { method: "POST", credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(WAIT_MS) };
    if (body) Object.assign(options, { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body()) });
    let answer;
    try {
      answer = await fetch(path, options);
    } catch {
      return "The server could not be reached. Try again shortly.";
    }
    if (answer.ok) return "";
    const told = await answer.json().catch(() => ({}));
    const text = typeof told.message === "string" && told.message ? told.message : "The server could not do it. Try again shortly";
    return /[.!?]$/.test(text) ? text : `${text}.`;
  }

  async function go() {
    const doing = task;
    act.disabled = true;
    say("One moment …", "");
    const wrong = problem() || await post(doing);
    act.disabled = false;
    // Another link may have been opened in this page meanwhile.
    if (doing !== task) return;
    say(wrong || doing.done, wrong ? "bad" : "good");
    if (wrong) return;
    form.reset();
    form.hidden = true;
    task = null;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (task !== null && !act.disabled) go();
  });
  addEventListener("hashchange", begin);
  begin();
}
