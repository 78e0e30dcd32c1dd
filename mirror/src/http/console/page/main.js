// The page: a form, and what the mirror answers to it.

import * as api from './api.js';
import { collector, highlighted, showCalls } from './calls.js';
import { draw, tabulate } from './chart.js';
import {
  addCondition, applyKind, describeMetric, fragment, get, offerMetrics, offerTargets, range,
  restore, settled, showAbout, state,
} from './form.js';
import { offerChoices, whyEmpty } from './why.js';

// So many raw points are drawn beside aggregated ones.
const MOST_RAW = 5000;
// So much of an answer is shown; all of it is copied.
const MOST_SHOWN = 20_000;

const copies = {};
let latest = 0;
let connecting = Promise.resolve();

function say(text, isWrong = false) {
  get('status').textContent = text;
  get('status').classList.toggle('wrong', isWrong);
}

/** Shows a text, and remembers it to be copied. */
function put(id, text) {
  copies[id] = text;
  const cut = text.length > MOST_SHOWN;
  get(id).textContent = cut ? `${text.slice(0, MOST_SHOWN)}… (Copy has all)` : text;
}

async function show() {
  await connecting;
  const now = state();
  const key = get('key').value;
  const within = range(now);
  latest += 1;
  const mine = latest;
  history.replaceState(null, '', fragment(now));
  say('Asking…');
  const request = api.metric(now, within);
  showRequest(now, request);
  const { made, noting } = collector();
  const explained = api.call('api/explain', key, request).catch((refused) => refused);
  const points = noting('points', api.call('api/metric', key, request));
  const raw = now.method ? rawPoints(key, now, within, noting) : Promise.resolve([]);
  try {
    const answer = await points;
    if (mine !== latest) return;
    await showPoints(key, now, within, answer, await raw, noting);
  } catch (refused) {
    if (mine !== latest) return;
    await showRefusal(key, now, within, refused, noting);
  }
  const plan = await explained;
  if (mine !== latest) return;
  showPlan(plan);
  showCalls(get('made'), made);
  describeMetric();
  get('results').hidden = false;
}

/** Raw points under aggregated ones: there are none where several series are pooled. */
async function rawPoints(key, now, within, noting) {
  const request = api.metric(now, within, '');
  request.query.limit = MOST_RAW;
  try {
    const asked = noting('raw points', api.call('api/metric', key, request));
    return (await asked).body.telemetry.points;
  } catch {
    return [];
  }
}

async function showPoints(key, now, within, { body, text, partial }, raw, noting) {
  const { points } = body.telemetry;
  put('answer', text);
  tabulate(get('points'), points, Boolean(now.method));
  draw(get('chart'), now.method ? { raw, aggregated: points } : { raw: points }, within);
  const cut = partial ? `, not all of them (${partial})` : '';
  get('why').hidden = true;
  if (points.length === 0) explain(await whyEmpty(key, now, within, noting));
  say(points.length === 0 ? 'No points.' : `${points.length} points${cut}.`);
}

async function showRefusal(key, now, within, refused, noting) {
  put('answer', refused.body ? JSON.stringify(refused.body) : '');
  tabulate(get('points'), [], Boolean(now.method));
  draw(get('chart'), {}, within);
  // A metric that exists at other times is not an error of it.
  const isMissing = refused.status === 404 && now.metric;
  explain(isMissing ? await whyEmpty(key, now, within, noting) : refused.message);
  say(`No answer: ${get('why-text').textContent}`, true);
  if (refused.body?.summary === 'too many series') {
    await offerChoices(key, now, within, show).catch(() => {});
  }
  if (refused.status === 401) get('key').focus();
}

function explain(text) {
  get('why-text').textContent = text;
  get('choices').replaceChildren();
  get('why').hidden = false;
}

/** What is known without an answer: the request, and how StackState has it typed. */
function showRequest(now, request) {
  const rows = [[now.kind, now.metric], ...now.conditions];
  const written = [['Conditions', rows.map(([label, value]) => `${label} = ${value}`)]];
  written.push(['Aggregation', [now.method || 'none']]);
  if (now.method) written.push(['Bucket', [now.bucket]]);
  const details = JSON.stringify(now.target ? { target: now.target } : {});
  written.push(['Connection details JSON', [details]]);
  const table = get('stackstate');
  table.replaceChildren();
  for (const [title, lines] of written) {
    for (const line of lines) {
      const row = table.insertRow();
      const head = document.createElement('th');
      head.scope = 'row';
      head.textContent = title;
      row.append(head);
      row.insertCell().textContent = line;
    }
  }
  copies.stackstate = written.flatMap(([title, lines]) =>
    lines.map((line) => `${title}: ${line}`)).join('\n');
  const body = JSON.stringify(request).replaceAll("'", "'\\''");
  const url = new URL('api/metric', location.href).href;
  put('curl', `curl -s ${url} -H "X-MIRROR-API-KEY: $KEY" \\\n` +
    `  -H 'Content-Type: application/json' \\\n  -d '${body}'`);
}

/** The PromQL, with what it selects by highlighted, and the calls. */
function showPlan(plan) {
  const { body } = plan;
  if (plan instanceof Error) {
    put('promql', plan.message);
    get('calls').textContent = '';
    return;
  }
  const promql = body.promql ?? body.pooled?.promql ?? '';
  copies.promql = promql;
  get('promql').replaceChildren(...highlighted(promql));
  const calls = body.upstreamCalls;
  const target = `Sent to ${body.target}`;
  get('calls').textContent = calls ? `${target} in ${calls} call${calls > 1 ? 's' : ''}.` : target;
}

async function connect() {
  if (!get('key').value) return;
  try {
    await offerTargets();
    say('Connected.');
  } catch (refused) {
    say(refused.message, true);
  }
}

async function copy(event) {
  const text = copies[event.target.dataset.copies] ?? '';
  try {
    await navigator.clipboard.writeText(text);
    say('Copied.');
  } catch {
    say('The browser does not let pages copy here: select the text instead.', true);
  }
}

restore();
get('key').addEventListener('change', () => {
  connecting = connect();
});
get('kind').addEventListener('change', () => {
  applyKind();
  offerMetrics();
});
get('method').addEventListener('change', applyKind);
get('target').addEventListener('change', offerMetrics);
get('metric').addEventListener('focus', offerMetrics);
get('metric').addEventListener('change', describeMetric);
get('metric').addEventListener('input', showAbout);
get('metric').addEventListener('input', settled(offerMetrics));
get('add').addEventListener('click', () => addCondition().focus());
get('query').addEventListener('submit', (event) => {
  event.preventDefault();
  show();
});
for (const button of document.querySelectorAll('[data-copies]')) {
  button.addEventListener('click', copy);
}
addEventListener('hashchange', restore);
get('key').focus();
