import { table } from 'arquero';
import { expect, it } from 'vitest';
import { tableReport } from '../../src/report/tableReport.js';

const scores = (variants: string[]) => table({ variant: variants, score: variants.map((_, i) => i) });

it('tells a table by its columns', () => {
  const report = tableReport(scores(['K2A', 'T3V', 'K2L']), 'runs/scores.csv', {
    sequences: new Map([['P1', 'MKTV']]),
    measured: new Map([
      ['K2A', 1],
      ['T3V', 2],
      ['K2L', 3],
    ]),
  });
  expect(report).toMatchObject({ title: 'scores.csv' });
  expect(JSON.stringify(report)).toContain('scores');
  const contacts = table({ i: [1], j: [8], probability: [0.5] });
  expect(tableReport(contacts, 'c.csv').facts).toEqual([['c', '8 residues']]);
  expect(() => tableReport(table({ a: [1] }), 'x.csv')).toThrow('x.csv: no table that a report is made of (columns a)');
});

it('shows one protein of many on request', () => {
  const many = table({
    sequence_id: Array.from({ length: 21 }, (_, i) => `P${i}`),
    variant: Array(21).fill('K2A'),
    score: Array(21).fill(0),
  });
  expect(() => tableReport(many, 's.csv')).toThrow('s.csv: 21 proteins, a page shows 20: choose with --sequence');
  expect(() => tableReport(many, 's.csv', { protein: 'Q' })).toThrow('no protein Q in it');
  expect(JSON.stringify(tableReport(many, 's.csv', { protein: 'P3' }).facts)).toContain('P3');
});

it.each([
  ['a variant far away', scores(['A999999999G'])],
  ['a variant far before', scores(['A-999999999G'])],
  ['a contact far away', table({ i: [1], j: [1e9], probability: [1] })],
  ['a contact at no number', table({ i: [1], j: ['x'], probability: [1] })],
  ['a map with an empty rest', table({ layer: [1], head: [1], query: [20_000], key: [1], attention: [1] })],
  ['a map of far queries', table({ layer: [1], head: [1], query: [1e12], key: [1], attention: [1] })],
])('refuses %s at once', (_, source) => {
  expect(() => tableReport(source, 'far.csv')).toThrow(/far\.csv: (position|the maps of far have 20000 × 20000 cells)/);
});
