// The form: its state, which the URL's fragment holds, and the suggestions of its fields. The key
// is no part of the state.

import * as api from './api.js';

const FIELDS = ['target', 'kind', 'metric', 'method', 'bucket', 'range', 'end'];

/** An element of the page. */
export const get = (id) => document.getElementById(id);

/** What the form says. */
export function state() {
  const fields = Object.fromEntries(FIELDS.map((name) => [name, get(name).value.trim()]));
  const rows = [...document.querySelectorAll('#conditions li')];
  const pairs = rows.map((row) => [...row.querySelectorAll('input')].map((input) => input.value));
  return { ...fields, conditions: pairs.filter(([label]) => label.trim() !== '') };
}

/** The range of a state in epoch milliseconds. */
export function range({ range, end }) {
  const until = end ? Date.parse(`${end}Z`) : Date.now();
  return [Math.max(0, until - api.millis(range)), until];
}

/** The state as the URL's fragment. */
export function fragment(state) {
  const parameters = new URLSearchParams(FIELDS.map((name) => [name, state[name]]));
  for (const [label, value] of state.conditions) parameters.append('where', `${label}=${value}`);
  return `#${parameters}`;
}

/** Fills the form from the URL's fragment. Says whether it names a metric. */
export function restore() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  for (const name of FIELDS) {
    const value = parameters.get(name);
    if (value === null) continue;
    if (name === 'target') offer(get('target'), [value]);
    get(name).value = value;
  }
  get('conditions').replaceChildren();
  for (const pair of parameters.getAll('where')) {
    const [, label, value] = /^([^=]*)=(.*)$/s.exec(pair) ?? [];
    if (label) addCondition(label, value);
  }
  applyKind();
  return parameters.has('metric');
}

/** Puts options into a list or a selection. `words` say more of some. */
function offer(list, values, words) {
  const options = values.map((value) => {
    const option = document.createElement('option');
    option.value = value;
    if (list.tagName === 'SELECT') option.textContent = value;
    // With the value, because some browsers show nothing else.
    if (words?.has(value)) option.label = `${value} (${words.get(value)})`;
    return option;
  });
  list.replaceChildren(...options);
  return true;
}

/** What belongs to the kind: an expression is no metric's name. */
export function applyKind() {
  const isExpression = get('kind').value === '~';
  document.querySelector('label[for=metric]').textContent = isExpression ? 'PromQL' : 'Metric';
  get('bucket').disabled = get('method').value === '';
  showAbout();
}

/** Fills the selection of targets. The one that is selected stays. */
export async function offerTargets() {
  const { targets, default: preferred } = await api.targets(get('key').value);
  const selected = get('target').value;
  offer(get('target'), targets);
  get('target').value = targets.includes(selected) ? selected : (preferred ?? targets[0]);
}

const latest = new Map();

/**
 * Suggestions are a help: one that fails is none, and one that was asked for earlier does not
 * replace a later one. What is known of them may come after them.
 */
async function suggest(list, asked, lists) {
  const key = get('key').value;
  if (!key) return;
  const mine = {};
  latest.set(list, mine);
  const put = (values, words) => latest.get(list) === mine && offer(list, values, words);
  try {
    await lists(key, asked, put);
  } catch {
    put([]);
  }
}

/** Offers labels or values, and then with how many series each has. */
async function withCounts(key, asked, put) {
  const values = await api.listed(key, asked);
  // Nobody waits for the counts of what is no longer asked for.
  if (!put(values) || !values.length) return;
  const { words } = await api.described(key, asked).catch(() => ({}));
  put(values, words);
}

/** Offers metrics that begin as the field does. */
export function offerMetrics() {
  const now = state();
  if (now.kind === '~') return offer(get('metrics'), []);
  const prefix = now.metric.replace(/\*$/, '');
  const asked = api.values(now, range(now), now.kind, prefix, api.conditions(now, true));
  return suggest(get('metrics'), asked, async (key, asked, put) => {
    const { values, words } = await api.described(key, asked);
    put(values, words);
    remember(now, words);
  });
}

// What metrics are, by target, kind and name. Only what is asked for is in it.
const known = new Map();
const named = ({ target, kind, metric }) => JSON.stringify([target, kind, metric]);

function remember(now, words) {
  if (known.size > 1000) known.clear();
  for (const [metric, text] of words) known.set(named({ ...now, metric }), text);
  showAbout();
}

/** What is known of the metric in the field. */
export function showAbout() {
  get('about').textContent = known.get(named(state())) ?? '';
}

/** Says what the metric in the field is. */
export async function describeMetric() {
  const now = state();
  showAbout();
  if (now.kind === '~' || !now.metric || !get('key').value || known.has(named(now))) return;
  const asked = api.values(now, range(now), now.kind, now.metric, api.conditions(now, true));
  try {
    const { words } = await api.described(get('key').value, asked);
    remember(now, new Map([[now.metric, ''], ...words]));
  } catch {
    // Then it is not known.
  }
}

function offerLabels() {
  const now = state();
  const metric = api.conditions({ ...now, conditions: [] });
  return suggest(get('labels'), api.labels(now, range(now), metric), withCounts);
}

function offerValues(row) {
  const [label, value] = row.querySelectorAll('input');
  const now = state();
  const others = now.conditions.filter(([name]) => name !== label.value);
  const conditions = api.conditions({ ...now, conditions: others });
  return suggest(row.querySelector('datalist'),
    api.values(now, range(now), label.value, value.value, conditions), withCounts);
}

/** Does it once nothing has been typed for a moment. */
export function settled(work) {
  let typing;
  return () => {
    clearTimeout(typing);
    typing = setTimeout(work, 200);
  };
}

let rows = 0;

/** Adds a row for a condition. */
export function addCondition(label = '', value = '') {
  rows += 1;
  const row = document.createElement('li');
  const input = (name, text, list) => {
    const field = document.createElement('div');
    field.className = 'field';
    const title = document.createElement('label');
    title.htmlFor = `${name}-${rows}`;
    title.textContent = name === 'label' ? 'Label' : 'Value';
    const made = document.createElement('input');
    made.id = title.htmlFor;
    made.spellcheck = false;
    made.setAttribute('list', list);
    made.value = text;
    field.append(title, made);
    row.append(field);
    return made;
  };
  const values = document.createElement('datalist');
  values.id = `values-${rows}`;
  const first = input('label', label, 'labels');
  const second = input('value', value, values.id);
  const remove = document.createElement('button');
  remove.type = 'button';
  remove.textContent = 'Remove';
  remove.setAttribute('aria-label', `Remove condition ${rows}`);
  remove.addEventListener('click', () => {
    row.remove();
    get('add').focus();
  });
  row.append(values, remove);
  first.addEventListener('focus', offerLabels);
  second.addEventListener('focus', () => offerValues(row));
  second.addEventListener('input', settled(() => offerValues(row)));
  get('conditions').append(row);
  return first;
}
