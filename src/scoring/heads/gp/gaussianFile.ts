import type { Elements } from '../../../formats/elements.js';
import type { WritableTensor } from '../../../formats/safetensors.js';
import type { EvidenceKind } from './evidence.js';
import type { GaussianHead } from './gaussianHead.js';
import { GaussianProcess } from './gaussianProcess.js';
import type { KernelParameters, KernelSpace } from './kernel.js';

/** What a head's `head.json` says of its Gaussian process. */
export interface GaussianDescription {
  parameters: KernelParameters;
  groups: KernelSpace['groups'];
  given: readonly EvidenceKind[];
  /** Of the random choice of rows that carry the others, where there are very many. */
  seed: number;
}

/** What `head.json` and `head.safetensors` keep: hyperparameters, evidence and training variants, no factor. */
export function describeGaussianHead(
  { process, evidence, training, measured }: GaussianHead,
  seed = 0,
): { gaussian: GaussianDescription; tensors: Map<string, WritableTensor> } {
  const { space, inputs } = training;
  const { length, hellinger, distances, groups } = space;
  const vector = <T extends WritableTensor['data']>(data: T): WritableTensor => ({ shape: [data.length], data });
  const width = groups.at(-1)?.end ?? 0;
  const tensors = new Map<string, WritableTensor>([
    ['profile', { shape: [length, evidence.profile.length / length], data: evidence.profile }],
    ['hellinger', { shape: [length, length], data: hellinger }],
    ['distances', { shape: [length, length], data: distances }],
    ['starts', vector(inputs.starts)],
    ['positions', vector(inputs.positions)],
    ['letters', vector(inputs.letters)],
    ['log_probabilities', vector(inputs.logP)],
    ['descriptors', { shape: [inputs.n, width], data: inputs.descriptors }],
    ['measured', vector(measured)],
    ...inputs.scores.map((score, k): [string, WritableTensor] => [`score_${k}`, vector(score)]),
  ]);
  if (evidence.accessibility) {
    tensors.set('accessibility', vector(evidence.accessibility));
  }
  if (evidence.alphaCarbons) {
    tensors.set('alpha_carbons', { shape: [length, 3], data: evidence.alphaCarbons });
  }
  return { gaussian: { parameters: process.parameters, groups, given: evidence.given, seed }, tensors };
}

/**
 * The head that `describeGaussianHead` described, conditioned on its training variants again.
 * @param tensor a tensor of its file by name; `has` whether there is one
 */
export function readGaussianHead(
  wildType: string,
  { parameters, groups, given, seed }: GaussianDescription,
  tensor: (name: string) => Elements,
  has: (name: string) => boolean,
): GaussianHead {
  const doubles = (name: string) => Float64Array.from(tensor(name));
  const optional = (name: string) => (has(name) ? doubles(name) : undefined);
  const measured = doubles('measured');
  const space: KernelSpace = {
    length: wildType.length,
    hellinger: Float32Array.from(tensor('hellinger')),
    distances: Float32Array.from(tensor('distances')),
    groups,
  };
  const inputs = {
    n: measured.length,
    starts: Int32Array.from(tensor('starts')),
    positions: Int32Array.from(tensor('positions')),
    letters: Int32Array.from(tensor('letters')),
    logP: doubles('log_probabilities'),
    descriptors: Float32Array.from(tensor('descriptors')),
    scores: parameters.slopes.map((_, k) => doubles(`score_${k}`)),
  };
  const rows = Array.from(measured, (_, row) => row);
  return {
    method: 'gp',
    process: GaussianProcess.fit(space, inputs, rows, measured, { parameters, seed }),
    evidence: {
      wildType,
      profile: doubles('profile'),
      accessibility: optional('accessibility'),
      alphaCarbons: optional('alpha_carbons'),
      given,
    },
    training: { space, inputs },
    measured,
  };
}
