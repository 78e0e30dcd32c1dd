// The calls that the mirror made of the target, and PromQL as people read it.

/** PromQL with what it selects by highlighted, as nodes. */
export function highlighted(promql) {
  return promql.split(/(\{(?:"(?:[^"\\]|\\.)*"|[^"}])*\})/).map((part) => {
    if (!part.startsWith('{')) return part;
    const mark = document.createElement('mark');
    mark.textContent = part;
    return mark;
  });
}

/** Collects the calls of answers, each under a title. */
export function collector() {
  const made = [];
  const noting = (title, asked) => {
    const note = ({ calls }) => calls && made.push([title, calls]);
    asked.then(note, note);
    return asked;
  };
  return { made, noting };
}

const TITLES = ['For', 'Call', 'Status', 'ms', 'Bytes', 'Samples'];

/** Writes the calls into a table, a row each. */
export function showCalls(table, made) {
  const head = document.createElement('thead');
  const titles = head.insertRow();
  for (const title of TITLES) {
    const cell = document.createElement('th');
    cell.scope = 'col';
    cell.textContent = title;
    titles.append(cell);
  }
  const body = document.createElement('tbody');
  for (const [title, { calls, more }] of made) {
    for (const call of calls) {
      const row = body.insertRow();
      row.insertCell().textContent = title;
      const sent = row.insertCell();
      sent.append(`${call.method ?? ''} ${call.path} `.trimStart(), ...highlighted(call.promql ?? ''));
      const result = [call.status ?? call.error, call.ms.toFixed(1), call.bytes, call.samples];
      for (const text of result) row.insertCell().textContent = text ?? '';
    }
    if (more) body.insertRow().insertCell().textContent = `${title}: ${more} more`;
  }
  table.replaceChildren(head, body);
}
