// One page after the other: the inside is fetched and put in the place of what was there.
import {morph} from './morph.js';

const PART = {'Longshore-Part': '1'};
const after = [];
let tag = null, shown = location.href, turn = 0, looking = null;

/** Call this when a page has come, and whenever one was looked at again. */
export function settled(done) { after.push(done); done(); }

async function fetched(url, headers) {
  const answer = await fetch(url, {headers: {...PART, ...headers}, cache: 'no-store', credentials: 'same-origin'});
  if (answer.status === 401) location.assign('/sign-in?next=' + encodeURIComponent(location.pathname + location.search));
  return answer;
}

function parsed(text) { return new DOMParser().parseFromString(text, 'text/html'); }

/** Looks again at the page that is shown; true if the server answered. */
export function look() {
  looking ??= again().finally(() => { looking = null; });
  return looking;
}

async function again() {
  const mine = turn, url = location.href.split('#')[0];
  const answer = await fetched(url, tag ? {'If-None-Match': tag} : {});
  if (answer.status === 304 || mine !== turn) return true;
  if (answer.status !== 200) return answer.status < 500;
  const page = parsed(await answer.text());
  const main = page.querySelector('main');
  if (mine !== turn || !main) return true;
  tag = answer.headers.get('ETag');
  morph(document.getElementById('main'), main);
  after.forEach(done => done());
  return true;
}

/** Shows another page. `stay`: it is the same one with other filters; what has the focus keeps it. */
export async function go(url, {push = true, stay = false} = {}) {
  const mine = ++turn, old = document.getElementById('main');
  document.body.classList.add('going');
  try {
    const answer = await fetched(url, {});
    const page = parsed(await answer.text());
    const main = page.querySelector('main');
    if (mine !== turn) return;
    if (!main) { location.assign(url); return; }
    if (push && url !== shown) history[stay ? 'replaceState' : 'pushState']({}, '', url);
    shown = location.href;
    tag = answer.headers.get('ETag');
    document.title = page.querySelector('title').textContent;
    if (stay) morph(old, main); else { old.replaceWith(main); arrive(main); }
    place(main.dataset.place);
    after.forEach(done => done());
  } catch {
    if (mine === turn) location.assign(url);
  } finally {
    if (mine === turn) document.body.classList.remove('going');
  }
}

function arrive(main) {
  scrollTo(0, 0);
  main.focus({preventScroll: true});
  document.getElementById('said').textContent = document.title;
}

function place(path) {
  for (const link of document.querySelectorAll('.rail nav a')) {
    const to = link.getAttribute('href');
    const here = to === '/' ? path === '/' : path === to || path.startsWith(to + '/');
    if (here) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
  }
}

const ours = link => link && link.origin === location.origin && !link.target && !link.hasAttribute('download') && !link.pathname.startsWith('/api/');

addEventListener('click', event => {
  const link = event.target.closest('a[href]');
  if (event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || !ours(link)) return;
  if (link.hash && link.pathname === location.pathname && link.search === location.search) return;
  event.preventDefault();
  go(link.href, {stay: link.hasAttribute('data-stay') || link.classList.contains('chip')});
});

addEventListener('popstate', () => go(location.href, {push: false}));

let typing;
const filtered = form => {
  const words = new URLSearchParams([...new FormData(form)].filter(([, value]) => value.trim?.()));
  const query = words.toString();
  go(form.getAttribute('action') + (query ? '?' + query : ''), {stay: true});
};
addEventListener('input', event => {
  const form = event.target.closest('form[data-filter]');
  if (!form) return;
  clearTimeout(typing);
  typing = setTimeout(() => filtered(form), event.target.type === 'search' ? 220 : 600);
});
addEventListener('submit', event => {
  if (!event.target.matches('form[data-filter]')) return;
  event.preventDefault();
  clearTimeout(typing);
  filtered(event.target);
});
