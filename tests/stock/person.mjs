// A person with a browser that knows cookies, redirects and HTML forms, and nothing else: no script, no style.
// What works for this person works without JavaScript.

import assert from 'node:assert/strict';

export class Person {
  #cookies = new Map();

  constructor({ issuer, username, password }) {
    this.issuer = new URL(issuer);
    this.username = username;
    this.password = password;
    this.consentsShown = 0;
    this.appsBefore = null;
  }

  // Opens an authorization request, signs in when asked, decides when asked; returns the URL the app is called back with.
  async authorize(url, redirectUri, decision = 'approve') {
    let page = await this.#open(url);
    const signsIn = page.url?.pathname === '/login';
    if (signsIn) {
      page = await this.#signIn(page);
      assert.notEqual(page.url?.pathname, '/login', 'after signing in, the sign-in page came again');
    }
    if (page.left === undefined) {
      const form = page.forms.find((f) => f.buttons.some((b) => b.name === 'decision'));
      assert(form, `no form with a button named "decision" on ${page.url}`);
      const choices = form.buttons.filter((b) => b.name === 'decision').map((b) => b.value).sort();
      assert.deepEqual(choices, ['approve', 'deny'], 'what the consent page offers');
      this.consentsShown += 1;
      this.appsBefore ??= await this.apps();
      page = await this.#submit(form, { decision });
    }
    assert(page.left, `the app was not called back; the last page was ${page.url}`);
    assert.equal(page.left.origin + page.left.pathname, redirectUri, 'where the person was sent');
    return page.left;
  }

  // The grant ids on "Apps with access to your account".
  async apps() {
    const page = await this.#open(new URL('/authorizations', this.issuer));
    assert.equal(page.url?.pathname, '/authorizations', 'the list of authorizations');
    const ids = page.links
      .map((link) => /^\/authorizations\/([^/]+)$/.exec(link.pathname)?.[1])
      .filter((id) => id !== undefined && id !== 'revoke' && id !== 'client');
    return [...new Set(ids)];
  }

  // The grant that came with the first consent this person gave here.
  async newGrant() {
    const now = await this.apps();
    const fresh = now.filter((id) => !this.appsBefore.includes(id));
    const found = fresh.length === 0 && now.length === 1 ? now : fresh;
    assert.equal(found.length, 1, `one new app expected; before: ${this.appsBefore}, now: ${now}`);
    return found[0];
  }

  // List → detail → the page that says what will end → its button. Returns the form, so that it can be sent again.
  async revoke(grantId) {
    const detail = await this.#open(new URL(`/authorizations/${grantId}`, this.issuer));
    const path = `/authorizations/${grantId}/revoke`;
    assert(
      detail.links.some((l) => l.pathname === path) || detail.forms.some((f) => f.action.pathname === path),
      `${detail.url} does not lead to ${path}`,
    );
    const confirm = await this.#open(new URL(path, this.issuer));
    const form = confirm.forms.find((f) => f.method === 'post' && f.action.pathname === path);
    assert(form, `no form posts to ${path}`);
    await this.#submit(form, {});
    return form;
  }

  // Sends a form once more, as a double click or the back button would.
  async repeat(form) {
    await this.#submit(form, {});
  }

  async #signIn(page) {
    const form = page.forms.find((f) => f.inputs.has('password'));
    assert(form, `no form with a field "password" on ${page.url}`);
    for (const name of ['username', 'password', 'next']) {
      assert(form.inputs.has(name), `the sign-in form has no field "${name}"`);
    }
    return this.#submit(form, { username: this.username, password: this.password });
  }

  async #submit(form, answers) {
    assert.equal(form.method, 'post', `method of the form to ${form.action}`);
    assert.equal(form.action.origin, this.issuer.origin, 'a form posts elsewhere');
    const body = new URLSearchParams(form.fields);
    for (const [name, value] of Object.entries(answers)) body.set(name, value);
    const response = await this.#fetch(form.action, {
      method: 'POST',
      body,
      headers: { origin: this.issuer.origin, 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' },
    });
    // A POST that did its work answers 303 (RFC 9700 §4.12: never 307, which would carry the password on).
    await expectStatus(response, 303, `POST ${form.action.pathname}`);
    return this.#open(target(response, form.action));
  }

  // Follows redirects by GET as long as they stay at the issuer; { left } is where they go out of it.
  async #open(start) {
    let url = new URL(start);
    for (let hops = 0; hops < 10; hops += 1) {
      if (url.origin !== this.issuer.origin) return { left: url };
      const response = await this.#fetch(url, {
        headers: { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' },
      });
      if (response.status === 303) {
        url = target(response, url);
        continue;
      }
      await expectStatus(response, 200, `GET ${url.pathname}`);
      assert.match(response.headers.get('content-type') ?? '', /^text\/html\b/, `type of ${url.pathname}`);
      return { url, ...parse(await response.text(), url) };
    }
    assert.fail(`more than ten redirects, the last to ${url}`);
  }

  async #fetch(url, init) {
    const headers = { ...init.headers, accept: 'text/html' };
    if (this.#cookies.size > 0) headers.cookie = [...this.#cookies].map(([n, v]) => `${n}=${v}`).join('; ');
    const response = await fetch(url, { ...init, headers, redirect: 'manual' });
    for (const line of setCookies(response.headers)) this.#keep(line);
    return response;
  }

  #keep(line) {
    const [pair, ...attributes] = line.split(';').map((part) => part.trim());
    const name = pair.slice(0, pair.indexOf('='));
    const gone = attributes.some((a) => {
      const [key, value = ''] = a.split('=');
      if (/^max-age$/i.test(key)) return Number(value) <= 0;
      return /^expires$/i.test(key) && Date.parse(value) <= Date.now();
    });
    if (gone) this.#cookies.delete(name);
    else this.#cookies.set(name, pair.slice(pair.indexOf('=') + 1));
  }
}

// Debian's Node 18 has no getSetCookie and joins the lines by commas, of which dates have some too.
function setCookies(headers) {
  return headers.getSetCookie?.() ?? (headers.get('set-cookie') ?? '').split(/,\s*(?=[^\s;,=]+=)/).filter(Boolean);
}

function target(response, base) {
  const location = response.headers.get('location');
  assert(location, `a redirect from ${base.pathname} without Location`);
  return new URL(location, base);
}

async function expectStatus(response, status, what) {
  if (response.status !== status) assert.fail(`${what} answered ${response.status}, not ${status}: ${await excerpt(response)}`);
}

async function excerpt(response) {
  const text = (await response.text()).replace(/<(style|script)[\s\S]*?<\/\1>/gi, ' ').replace(/<[^>]*>/g, ' ');
  return decode(text).replace(/\s+/g, ' ').trim().slice(0, 300);
}

// The forms and links of a page. Enough of HTML for well-formed pages; it is no parser for the open web.
function parse(html, base) {
  const forms = [...html.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)].map(([, head, inside]) => {
    const form = attributes(head);
    const inputs = [...inside.matchAll(/<input\b([^>]*)>/gi)].map(([, tag]) => attributes(tag));
    const sent = inputs.filter(({ name, type = 'text', checked }) => {
      if (name === undefined || ['submit', 'button', 'image', 'reset', 'file'].includes(type)) return false;
      return !['checkbox', 'radio'].includes(type) || checked !== undefined;
    });
    return {
      action: new URL(form.action || base, base),
      method: (form.method ?? 'get').toLowerCase(),
      inputs: new Set(inputs.map((input) => input.name)),
      fields: sent.map(({ name, type, value }) => [name, value ?? (type === 'checkbox' ? 'on' : '')]),
      buttons: [...inside.matchAll(/<button\b([^>]*)>/gi)].map(([, tag]) => attributes(tag)),
    };
  });
  const links = [...html.matchAll(/<a\b([^>]*)>/gi)]
    .map(([, tag]) => attributes(tag).href)
    .filter((href) => href !== undefined)
    .map((href) => new URL(href, base))
    .filter((link) => link.origin === base.origin);
  return { forms, links };
}

function attributes(tag) {
  const found = tag.matchAll(/([^\s=>"'/]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?/g);
  return Object.fromEntries([...found].map(([, name, a, b, c]) => [name.toLowerCase(), decode(a ?? b ?? c ?? '')]));
}

const NAMED = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function decode(text) {
  return text.replace(/&(?:#x([0-9a-f]+)|#([0-9]+)|([a-z]+));/gi, (whole, hex, dec, name) => {
    if (hex) return String.fromCodePoint(parseInt(hex, 16));
    if (dec) return String.fromCodePoint(parseInt(dec, 10));
    return NAMED[name.toLowerCase()] ?? whole;
  });
}
