// Why there is nothing, or an error: the mirror's own words, and what can be done with a click.

import * as api from './api.js';
import { addCondition, get } from './form.js';

const MOST_LABELS = 8;

/** Says why a query has no points. An error of the query says it by itself. */
export async function whyEmpty(key, state, range, noting) {
  try {
    const asked = api.call('api/why', key, api.metric(state, range));
    const { body } = await noting('why', asked);
    return body.message;
  } catch (refused) {
    return refused.message;
  }
}

/** Offers what tells several series apart, as buttons that add the condition. */
export async function offerChoices(key, state, range, show) {
  const conditions = api.conditions(state);
  const names = await api.listed(key, api.labels(state, range, conditions));
  const chosen = state.conditions.map(([label]) => label);
  for (const label of names.filter((name) => !chosen.includes(name)).slice(0, MOST_LABELS)) {
    const values = await api.listed(key, api.values(state, range, label, '', conditions));
    if (values.length < 2) continue;
    get('choices').append(...values.map((value) => choice(label, value, show)));
  }
}

function choice(label, value, show) {
  const item = document.createElement('li');
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = `${label} = ${value}`;
  button.addEventListener('click', () => {
    addCondition(label, value);
    show();
  });
  item.append(button);
  return item;
}
