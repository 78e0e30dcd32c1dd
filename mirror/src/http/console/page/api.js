// The Mirror API, as StackState speaks it. The key is in the page's field and nowhere else.

const KINDS = { names: 'FieldNames', values: 'FieldValues', metric: 'Metrics' };

/** An answer that is an error: its words, and what the API says of it. */
export class Refused extends Error {
  constructor(status, body, calls) {
    const said = [body.summary, body.details ?? body.error?.details ?? body.mirrorType];
    super(said.filter(Boolean).join(': ') || body._type || `status ${status}`);
    this.status = status;
    this.body = body;
    this.calls = calls;
  }
}

async function answered(path, key, options) {
  // A key with other characters than a header has cannot be right.
  if (!/^[\x21-\x7e]+$/.test(key)) throw new Refused(401, { summary: 'type the API key' });
  const headers = { 'X-MIRROR-API-KEY': key, 'Content-Type': 'application/json' };
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: 'no-store' });
  } catch {
    throw new Refused(0, { summary: 'the mirror does not answer' });
  }
  const text = await response.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    body = { summary: `status ${response.status}` };
  }
  if (response.status === 401) throw new Refused(401, { summary: 'the API key is wrong' });
  const calls = JSON.parse(response.headers.get('X-Mirror-Calls'));
  if (!response.ok) throw new Refused(response.status, body, calls);
  return { body, text, calls, partial: response.headers.get('X-Mirror-Partial') };
}

/** The names of the targets, and the default's. */
export async function targets(key) {
  return (await answered('api/targets', key, { method: 'GET' })).body;
}

/** Sends a request to a method of the API. */
export function call(path, key, request) {
  return answered(path, key, { method: 'POST', body: JSON.stringify(request) });
}

function condition(key, value) {
  return { key, value: { value, _type: 'StringValue' }, _type: 'EqualityCondition' };
}

/** The conditions of a state, the metric's first. `others` leaves the metric out. */
export function conditions(state, others = false) {
  const all = others || !state.metric ? [] : [condition(state.kind, state.metric)];
  return all.concat(state.conditions.map(([label, value]) => condition(label, value)));
}

/** The request of this kind (names, values or metric), with these fields in its query. */
export function request(kind, state, range, fields) {
  const target = state.target ? { target: state.target } : {};
  const [startTime, endTime] = range;
  return {
    _type: `${KINDS[kind]}Request`,
    connectionDetails: target,
    query: { _type: `${KINDS[kind]}Query`, startTime, endTime, ...fields },
  };
}

/** The request for points; raw ones without a method. */
export function metric(state, range, method = state.method) {
  const fields = { conditions: conditions(state) };
  if (method) {
    fields.aggregation = { _type: 'Aggregation', method, bucketSizeMillis: millis(state.bucket) };
  }
  return request('metric', state, range, fields);
}

/** The request for the values of a field that begin so. */
export function values(state, range, field, prefix, conditions) {
  const fields = { field, fieldValuePrefix: prefix, conditions, offset: 0, limit: 200 };
  return request('values', state, range, fields);
}

/** The request for the labels that series with these conditions have. */
export function labels(state, range, conditions) {
  return request('names', state, range, { conditions });
}

/** What a request for values or labels lists. */
export async function listed(key, asked) {
  if (asked._type === 'FieldValuesRequest') {
    const { body } = await call('api/field/value', key, asked);
    return body.values.map(({ value }) => value);
  }
  const { body } = await call('api/field/name', key, asked);
  const names = body.fields.map(({ fieldName }) => fieldName);
  return names.filter((name) => !/^(~|__(counter|gauge|histogram|summary)__)$/.test(name));
}

/** What stands behind each of them, in words, by name; and the list itself, of metrics. */
export async function described(key, asked) {
  const { values, metrics, counts, isPartial } = (await call('api/describe', key, asked)).body;
  const words = new Map();
  for (const [name, { type, unit, help }] of Object.entries(metrics ?? {})) {
    const kind = [type, unit].filter(Boolean).join(', ');
    words.set(name, [kind, help].filter(Boolean).join(': '));
  }
  for (const [name, count] of Object.entries(counts ?? {})) {
    words.set(name, `${isPartial ? 'at least ' : ''}${count} series`);
  }
  return { values, words };
}

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A duration such as 1m in milliseconds. NaN if it is none. */
export function millis(text) {
  const [, number, unit] = /^([0-9]+)(ms|s|m|h|d)$/.exec(text.trim()) ?? [];
  return Number(number) * UNITS[unit];
}
