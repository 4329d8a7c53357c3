'use strict';
// Whatever comes from the daemon becomes text by textContent and createTextNode, never markup.

const SVG = 'http://www.w3.org/2000/svg';
const STATES = {
  'enforcing': 'ENFORCING',
  'partly-audit': 'ENFORCING, some of it in AUDIT',
  'audit': 'AUDIT: refusals are reported, and pass',
  'bypass': 'BYPASS: nothing is refused',
  'not-enforcing': 'NOT ENFORCING',
};
// What is older than this is not shown as the state of now.
const STALE_MS = 8000;
// A segment that ends by itself is warned of for so long before.
const ENDS_MS = 7 * 86400e3;
const NO_DAEMON = 'Not known: the daemon’s own loop does not answer.';

const $ = id => document.getElementById(id);
const count = number => Number(number).toLocaleString('en-US');
const time = at => at ? at.slice(0, 19).replace('T', ' ') + 'Z' : '–';
/** The same, short: the time of day where it is today's. */
const brief = at => !at ? '–' : at.slice(0, 10) === view.at.slice(0, 10) ? time(at).slice(11) : time(at).slice(0, 16) + 'Z';
const plural = (number, one) => `${count(number)} ${one}${number === 1 ? '' : 's'}`;

let view = null;
let heard = 0;
let source = null;
let problem = '';
const drawn = new WeakMap();

/** Sets a text only where it is another one: a screen reader says each change. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function element(name, attributes = {}, ...children) {
  const node = name.startsWith('svg:')
    ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  for (const child of children) node.append(child);
  return node;
}

/** Draws into a node again where what it shows has changed, so that a selection and a scroll position stay. */
function draw(node, facts, make) {
  const key = JSON.stringify(facts);
  if (drawn.get(node) === key) return;
  drawn.set(node, key);
  node.replaceChildren(...make());
}

function table(id, facts, columns, nothing) {
  const make = () => facts.map(fact => element('tr', {}, ...columns(fact).map((cell, at) => {
    const { text, ...attributes } = typeof cell === 'object' && cell !== null ? cell : { text: cell };
    return at === 0 ? element('th', { scope: 'row', ...attributes }, String(text))
      : element('td', attributes, String(text ?? '–'));
  })));
  const empty = () => [element('tr', {}, element('td', { colspan: 9, class: 'none' }, nothing))];
  draw($(id), [facts, nothing], facts.length ? make : empty);
}

const number = text => ({ text: count(text), class: 'number' });

function showBar() {
  const fresh = view && Date.now() - heard < STALE_MS;
  const paused = source === null;
  const state = fresh || paused ? view?.state ?? 'unknown' : 'unknown';
  const words = state === 'unknown'
    ? (problem ? `UNKNOWN: ${problem}` : view ? `NO ANSWER since ${time(view.at)}: what was in force stays so` : 'NO ANSWER from the daemon')
    : (paused ? `PAUSED at ${time(view.at)}, then: ` : '') + (STATES[state] ?? state);
  $('bar').dataset.state = paused ? 'unknown' : state;
  say($('state'), words);
  say($('clock'), fresh && !paused ? view.at.slice(11, 19) + 'Z' : '');
  document.title = `${words} · ${view?.policy?.policy ?? 'no policy'} · pacs-guard`;
}

function warnings() {
  const found = [...view.uncovered];
  const policy = view.policy;
  if (policy?.bypass) found.push(`Bypassed, for: ${policy.bypass}`);
  if (view.until) found.push(`What is in force ends by itself at ${time(view.until)}`);
  if (policy?.enforced) found.push(`Enforced by hand, whatever mode ${policy.file} says`);
  for (const end of policy?.ends ?? []) {
    const left = Date.parse(end.until) - Date.parse(view.at);
    if (left < ENDS_MS) found.push(`Segment ${end.segment} ${left > 0 ? 'ends' : 'ended'} at ${time(end.until)}`);
  }
  for (const one of view.interfaces) {
    if (!one.attached) found.push(`${one.name} is not guarded: the program is gone`);
    else if (one.mode === 'generic') found.push(`${one.name} is guarded in generic mode, which is slow`);
  }
  if (!view.daemon) found.push('The daemon’s own loop does not answer; what is in force is read from the kernel');
  else if (view.daemon.file_differs === true) found.push(`${view.daemon.policy_file} differs from what is in force`);
  else if (view.daemon.file_differs === null) found.push(`${view.daemon.policy_file} can’t be read`);
  $('warnings').hidden = !found.length;
  draw($('warnings'), found, () => found.map(text => element('li', {}, text)));
}

function pairs(id, facts) {
  draw($(id), facts, () => facts.map(([term, text, kind]) =>
    element('div', kind ? { class: kind } : {}, element('dt', {}, term), element('dd', {}, text))));
}

function facts() {
  const policy = view.policy;
  const guarded = view.interfaces.map(one => `${one.name} (${one.attached ? one.mode ?? 'no mode' : 'not guarded'})`);
  const list = policy ? [
    ['Policy', policy.policy],
    ['File', policy.file],
    ['Since', `${time(policy.loaded)}, generation ${view.generation ?? '–'}`],
    ['SHA-256', policy.sha256.slice(0, 16)],
    ['Holds', [plural(policy.services, 'service'), plural(policy.segments, 'segment'),
      plural(policy.sources, 'prefix').replace('prefixs', 'prefixes')].join(', ')],
  ] : [['Policy', 'none in force']];
  list.push(['Interfaces', guarded.join(', ') || 'none is guarded']);
  const lost = view.packets.events_suppressed + view.packets.events_lost;
  if (lost) list.push(['Events', `${plural(lost, 'refused packet')} sent none (budget, full ring); each is counted`]);
  draw($('facts'), list, () => list.flatMap(([term, text]) => [element('dt', {}, term), element('dd', {}, text)]));
}

function plot() {
  const { step_seconds: step, dropped, would_drop: would } = view.drops;
  const svg = $('plot');
  const width = Math.max(svg.clientWidth, 200), height = 150, left = 44, bottom = 20;
  const slots = 600 / step;
  draw(svg, [width, dropped, would], () => {
    const sums = dropped.map((packets, at) => packets + would[at]);
    const top = Math.max(...sums, 4);
    const sum = list => list.reduce((all, one) => all + one, 0);
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    svg.setAttribute('aria-label', `In the last ${Math.round(dropped.length * step / 60)} minutes: ` +
      `${count(sum(dropped))} dropped, ${count(sum(would))} would drop, at most ${count(Math.max(...sums, 0))} in ${step} s`);
    const plane = height - bottom - 8, pace = (width - left) / slots;
    const y = packets => 8 + plane * (1 - packets / top);
    const bar = (at, from, to, kind) => element('svg:rect', {
      x: (left + (slots - dropped.length + at) * pace).toFixed(2), width: Math.max(pace - .4, 1).toFixed(2),
      y: y(to).toFixed(2), height: (y(from) - y(to)).toFixed(2), class: kind,
    });
    const label = (x, at, anchor, text) =>
      element('svg:text', { x, y: at, 'text-anchor': anchor, class: 'small' }, text);
    const grid = [0, top / 2, top].flatMap(packets => [
      element('svg:line', { x1: left, x2: width, y1: y(packets), y2: y(packets), class: 'axis' }),
      label(left - 6, y(packets) + 4, 'end', count(Math.round(packets))),
    ]);
    const bars = dropped.flatMap((packets, at) => [
      ...(packets ? [bar(at, 0, packets, 'dropped')] : []),
      ...(would[at] ? [bar(at, packets, packets + would[at], 'would')] : []),
    ]);
    return [...grid, ...bars, label(left, height - 4, 'start', '10 min ago'),
      label(left + (width - left) / 2, height - 4, 'middle', `packets per ${step} s`),
      label(width, height - 4, 'end', 'now')];
  });
}

function refused() {
  const wanted = $('filter').value.trim().toLowerCase();
  const rows = view.refused.map(one => ({
    source: one.source,
    asked: one.service ? `${one.service} (${one.port})` : `port ${one.port}`,
    outcome: one.outcome === 'drop' ? 'dropped' : 'would drop',
    reason: one.reason, last: brief(one.last), tries: one.connections,
    segment: one.segment ?? 'none', first: brief(one.first),
  })).filter(row => !wanted || Object.values(row).join(' ').toLowerCase().includes(wanted));
  table('refused', rows, row => [row.source, row.asked,
    { text: `${row.outcome}: ${row.reason}`, class: row.outcome === 'dropped' ? 'bad' : 'warn' },
    row.last, number(row.tries), row.segment, row.first],
  wanted ? 'None of them is so.' : 'Nobody was refused lately.');
  say($('refused-count'), `${count(rows.length)} of ${count(view.refused_in_all)}`);
}

/** A name in so many pixels, about 7.3 a letter. */
function short(name, pixels) {
  const letters = Math.floor(pixels / 7.3);
  return name.length > letters ? name.slice(0, Math.max(letters - 1, 1)) + '…' : name;
}

function map(reach) {
  const svg = $('map');
  const width = Math.max(svg.clientWidth, 240), row = 40, box = 30;
  const { services, segments } = reach;
  draw(svg, [width, reach], () => {
    const node = Math.min(210, width * .4), height = row * Math.max(services.length, segments.length, 1);
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    svg.setAttribute('height', height);
    const middle = (at, of) => height / of.length * (at + .5);
    const draw_node = (x, y, name, small, closed) => [
      element('svg:rect', { x: x + .5, y: y - box / 2, width: node - 1, height: box, rx: 6, class: closed ? 'node closed' : 'node' }),
      element('svg:text', { x: x + 9, y: y + (small ? -1 : 4) }, short(name, node - 14)),
      ...(small ? [element('svg:text', { x: x + 9, y: y + 11, class: 'small' }, short(small, (node - 14) * 1.15))] : []),
    ];
    const origins = segments.map((segment, at) => {
      const y = middle(at, segments);
      const title = `${segment.name} may reach ${granted(segment, services)}`;
      const edges = segment.ended ? [] : segment.services.map(target => {
        const to = middle(target, services), from = node, end = width - node - 2, half = (from + end) / 2;
        const mode = segment.mode ?? services[target].mode;
        return element('svg:path', { d: `M${from},${y} C${half},${y} ${half},${to} ${end},${to}`, class: mode });
      });
      return element('svg:g', {}, element('svg:title', {}, title), ...edges,
        ...draw_node(0, y, segment.name, segment.ended ? 'has ended' : '', segment.ended || !edges.length));
    });
    const targets = services.map((service, at) => element('svg:g', {},
      element('svg:title', {}, `${service.name}, ${service.transport} ${service.ports}`),
      ...draw_node(width - node - 2, middle(at, services), service.name, `${service.transport} ${service.ports}, ${service.mode}`)));
    return [...origins, ...targets];
  });
}

function granted(segment, services) {
  if (segment.ended) return 'nothing: it has ended';
  return segment.services.map(at => services[at].name).join(', ') || 'nothing';
}

function reach() {
  const known = view.reach ?? { services: [], segments: [], left_out: 0 };
  map(known);
  const rows = known.segments.map(segment => {
    const booked = view.by_segment[segment.name] ?? { allowed: 0, dropped: 0, would_drop: 0 };
    return { ...segment, granted: granted(segment, known.services), allowed: booked.allowed,
      refused: booked.dropped + booked.would_drop };
  });
  table('segments', rows, row => [row.name, row.granted, number(row.allowed), number(row.refused),
    row.mode ?? 'by service', { text: row.description ?? '–', class: 'wide' }, brief(row.until),
    { text: row.except ? `${count(row.sources)} less ${count(row.except)}` : count(row.sources), class: 'number' }],
  view.reach ? 'No segment: nobody may reach a protected service.' : NO_DAEMON);
  say($('segments-count'), known.left_out ? `${count(known.left_out)} more are not listed` : '');
}

function peers() {
  const words = peer => peer.do_not_probe ? 'never asked' : peer.answers === null ? 'not asked yet'
    : peer.answers ? (peer.drift ? `answers; ${plural(peer.drift, 'change')}` : 'answers') : 'does not answer';
  const kind = peer => peer.answers === null ? '' : peer.answers ? (peer.drift ? 'warn' : 'good') : 'bad';
  table('peers', view.peers, peer => [peer.name, { text: words(peer), class: kind(peer) }, peer.ae_title,
    `${peer.address}, port ${peer.port}${peer.tls ? ', TLS' : ''}`, brief(peer.asked_last), brief(peer.last_success),
    brief(peer.certificate_expires)], view.daemon ? 'The policy names no peer.' : NO_DAEMON);
  const more = view.peers_in_all - view.peers.length;
  say($('peers-count'), more > 0 ? `${count(more)} more are not listed` : '');
}

function history() {
  table('history', view.history, entry => [brief(entry.at), entry.action, entry.policy, number(entry.generation),
    entry.sha256.slice(0, 16), brief(entry.until), { text: entry.reason ?? '–', class: 'wide' }], 'No entry yet.');
}

function show() {
  showBar();
  if (!view) return;
  warnings();
  facts();
  const { allowed, dropped, would_drop: would, passed } = view.packets;
  pairs('totals', [['Allowed', count(allowed)], ['Dropped', count(dropped), 'dropped'],
    ['Would drop', count(would), 'would'], ['Not judged', count(passed)]]);
  plot();
  refused();
  reach();
  peers();
  history();
  say($('version'), view.daemon ? `Version ${view.daemon.version}, running since ${time(view.daemon.started)}.` : '');
}

function listen() {
  source = new EventSource('stream');
  source.onmessage = message => {
    view = JSON.parse(message.data);
    heard = Date.now();
    problem = '';
    show();
  };
  // The kernel's maps can't be read: what was shown before is not shown as the state of now.
  source.addEventListener('problem', message => {
    problem = message.data;
    heard = 0;
    showBar();
  });
  // A browser does not come again where the answer is no stream: the session has ended, or a proxy answers.
  source.onerror = async () => {
    if (source?.readyState !== EventSource.CLOSED) return;
    const answer = await fetch('state').catch(() => null);
    if (answer?.status === 401) location.reload();
    else setTimeout(() => source?.readyState === EventSource.CLOSED && listen(), 1000);
  };
}

$('pause').addEventListener('click', () => {
  if (source) {
    source.close();
    source = null;
  } else {
    listen();
  }
  $('pause').setAttribute('aria-pressed', String(source === null));
  showBar();
});
$('filter').addEventListener('input', () => view && refused());
addEventListener('resize', () => view && show());
setInterval(showBar, 1000);
listen();
