import { barChart } from '../../src/report/charts/bars.js';
import { contactMapChart } from '../../src/report/charts/contacts.js';
import { landscapeChart, RESIDUE_ORDER, type VariantScore } from '../../src/report/charts/landscape.js';
import { lineChart } from '../../src/report/charts/lines.js';
import { similarityChart } from '../../src/report/charts/similarity.js';
import type { Report } from '../../src/report/page.js';

/** Every substitution of an invented protein, with scores that follow a formula; positions 4, 21, … are left out. */
export function sampleVariants(length: number): { sequence: string; variants: VariantScore[] } {
  const sequence = Array.from({ length }, (_, i) => RESIDUE_ORDER[(i * 7 + i * i) % 20]).join('');
  const variants = [...sequence].flatMap((wildType, i) =>
    i % 17 === 3
      ? []
      : RESIDUE_ORDER.filter((residue) => residue !== wildType).map((mutant, j) => ({
          position: i + 1,
          wildType,
          mutant,
          score: -4 * Math.abs(Math.sin(i / 9)) * ((j % 5) / 5) + (j % 7 === 0 ? 1 : 0) - i / 1e6,
        })),
  );
  return { sequence, variants };
}

/** A report with one section of every kind. */
export function sampleReport(length: number, mapLength: number): Report {
  const { sequence, variants } = sampleVariants(length);
  const residues = sequence.slice(0, mapLength);
  const map = new Float32Array(mapLength ** 2).map((_, cell) =>
    Math.exp(-Math.abs(Math.floor(cell / mapLength) - (cell % mapLength)) / 3),
  );
  const similarity = new Float32Array(400).map((_, cell) => Math.cos((Math.floor(cell / 20) - (cell % 20)) / 3));
  const pairs: [number, number][] = [];
  for (let i = 0; i < mapLength; i++) {
    for (let j = i + 6; j < mapLength; j++) {
      if (Math.abs(i + j - mapLength) < 3) {
        pairs.push([i, j]);
      }
    }
  }
  return {
    title: 'A <protein> & its scores',
    subtitle: 'Every kind of section',
    facts: [['Variants', variants.length]],
    sections: [
      {
        kind: 'landscape',
        heading: 'Mutation landscape',
        chart: landscapeChart({ wildType: sequence, variants, scoreTitle: 'log odds' }),
        table: {
          name: 'variants',
          columns: [
            { name: 'variant', values: variants.map((v) => `${v.wildType}${v.position}${v.mutant}`) },
            { name: 'position', values: variants.map((v) => v.position) },
            { name: 'wildType', title: 'wild type', values: variants.map((v) => v.wildType) },
            { name: 'mutant', values: variants.map((v) => v.mutant) },
            { name: 'score', values: variants.map((v) => v.score) },
          ],
        },
      },
      {
        kind: 'chart',
        heading: 'Loss',
        chart: lineChart({
          name: 'loss',
          title: 'Loss',
          description: 'Loss over steps.',
          x: { title: 'step' },
          y: { title: 'loss' },
          points: ['training', 'validation'].flatMap((series, k) =>
            Array.from({ length: 50 }, (_, x) => ({ x: x * 10, y: 2.4 + Math.exp(-x / 20) + k / 20, series })),
          ),
        }),
      },
      {
        kind: 'chart',
        heading: 'Assays',
        chart: barChart({
          name: 'assays',
          title: 'Spearman by assay',
          description: 'Bars with intervals.',
          value: { title: 'Spearman' },
          bars: ['BLAT_ECOLX', 'GFP_AEQVI'].map((label) => ({ label, value: 0.5, low: 0.4, high: 0.6 })),
        }),
      },
      {
        kind: 'chart',
        heading: 'Similarity',
        chart: similarityChart({ residues: RESIDUE_ORDER, similarity, blosum: similarity }),
      },
      {
        kind: 'chart',
        heading: 'Contacts',
        chart: contactMapChart({
          sequence: residues,
          structure: pairs,
          predicted: pairs.map(([i, j], rank) => ({ i, j: rank % 3 ? j : j - 2, probability: 1 / (rank + 1) })),
        }),
      },
      {
        kind: 'attention',
        heading: 'Attention',
        name: 'attention',
        sequence: residues,
        maps: [0, 1].flatMap((layer) =>
          [0, 1, 2].map((head) => ({ layer, head, values: map.map((value) => value ** (1 + layer + head)) })),
        ),
      },
    ],
  };
}
