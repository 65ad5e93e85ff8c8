// A strict reader of Prometheus text, format 0.0.4: anything that the format does not allow is an error. It knows what
// scrapers forgive and does not: families without HELP or TYPE, samples out of their family, names and types that do not
// go together, histograms that do not add up.
import assert from 'node:assert/strict';

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

function number(text, line) {
  if (text === '+Inf') return Infinity;
  if (text === '-Inf') return -Infinity;
  if (text === 'NaN') return NaN;
  assert.match(text, /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/, `not a number in: ${line}`);
  return Number(text);
}

/** `{a="x",b="y"}` at the start of `text`: the labels and what follows. */
function readLabels(text, line) {
  const labels = {};
  let at = 1;
  while (text[at] !== '}') {
    const equals = text.indexOf('=', at);
    const name = text.slice(at, equals);
    assert.match(name, LABEL, `label name in: ${line}`);
    assert.ok(!(name in labels), `label twice in: ${line}`);
    assert.equal(text[equals + 1], '"', `quote in: ${line}`);
    let value = '';
    for (at = equals + 2; text[at] !== '"'; ++at) {
      assert.ok(at < text.length, `unterminated label in: ${line}`);
      if (text[at] !== '\\') {
        value += text[at];
        continue;
      }
      const escaped = { '\\': '\\', '"': '"', n: '\n' }[text[++at]];
      assert.ok(escaped, `escape in: ${line}`);
      value += escaped;
    }
    labels[name] = value;
    if (text[++at] === ',') ++at;
    else assert.equal(text[at], '}', `comma or brace in: ${line}`);
  }
  return { labels, rest: text.slice(at + 1) };
}

function checkHistogram(family) {
  const series = new Map();
  for (const { name, labels, value } of family.samples) {
    const { le, ...others } = labels;
    const key = JSON.stringify(others);
    if (!series.has(key)) series.set(key, { buckets: [] });
    const one = series.get(key);
    if (name.endsWith('_bucket')) one.buckets.push({ le: number(le, name), value });
    else one[name.endsWith('_sum') ? 'sum' : 'count'] = value;
  }
  for (const [key, { buckets, sum, count }] of series) {
    const where = `${family.name}${key}`;
    assert.ok(buckets.length > 1, `${where} has no buckets`);
    assert.equal(buckets.at(-1).le, Infinity, `${where} ends with +Inf`);
    assert.equal(buckets.at(-1).value, count, `${where}: +Inf is the count`);
    assert.ok(sum >= 0 && count >= 0, where);
    for (let i = 1; i < buckets.length; ++i) {
      assert.ok(buckets[i].le > buckets[i - 1].le, `${where}: bounds rise`);
      assert.ok(buckets[i].value >= buckets[i - 1].value, `${where}: buckets are cumulative`);
    }
  }
}

/** All families by name: {name, type, help, samples: [{name, labels, value}]}. */
export function parse(text) {
  assert.ok(text.endsWith('\n'), 'the last line ends');
  assert.ok(!text.includes('\r'), 'line ends are LF');
  const families = new Map();
  const seen = new Set();
  let family;
  for (const line of text.slice(0, -1).split('\n')) {
    assert.equal(line.trim(), line, `blanks around: ${line}`);
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment) {
      const [, what, name, rest] = comment;
      assert.match(name, NAME);
      if (what === 'HELP') {
        assert.ok(!families.has(name), `family twice: ${name}`);
        assert.ok(rest.length > 0, `no help: ${name}`);
        assert.doesNotMatch(rest, /\\[^\\n]/, `escape in the help of ${name}`);
        family = { name, help: rest, samples: [] };
        families.set(name, family);
      } else {
        assert.equal(family?.name, name, `TYPE without HELP: ${name}`);
        assert.equal(family.type, undefined, `TYPE twice: ${name}`);
        assert.match(rest, /^(counter|gauge|histogram)$/);
        family.type = rest;
      }
      continue;
    }
    assert.doesNotMatch(line, /^#/, `no other comments: ${line}`);
    const name = /^[^{ ]*/.exec(line)[0];
    assert.match(name, NAME, line);
    const labelled = line[name.length] === '{';
    const { labels, rest } = labelled ? readLabels(line.slice(name.length), line) : { labels: {}, rest: line.slice(name.length) };
    assert.match(rest, /^ \S+$/, `one value, no time: ${line}`);
    const suffixes = family?.type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
    assert.ok(suffixes.some((suffix) => family?.name + suffix === name), `not of the family ${family?.name}: ${line}`);
    const identity = name + JSON.stringify(Object.entries(labels).sort());
    assert.ok(!seen.has(identity), `sample twice: ${line}`);
    seen.add(identity);
    const value = number(rest.slice(1), line);
    if (family.type !== 'gauge') assert.ok(value >= 0, `a counter below zero: ${line}`);
    family.samples.push({ name, labels, value });
  }
  for (const each of families.values()) {
    assert.ok(each.type, `no TYPE: ${each.name}`);
    assert.equal(each.type === 'counter', each.name.endsWith('_total'), `${each.name} is a ${each.type}`);
    if (each.type === 'histogram') checkHistogram(each);
  }
  return families;
}

/** The value of one sample; 0 where a labelled one is not there, since it has not happened yet. */
export function value(families, name, labels = {}) {
  const base = families.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
  const family = families.get(base);
  assert.ok(family, `no family ${name}`);
  const found = family.samples.filter(
    (sample) => sample.name === name && Object.entries(labels).every(([key, text]) => sample.labels[key] === text),
  );
  return found.reduce((sum, sample) => sum + sample.value, 0);
}
