/** A replacement on the wild type: residues [start, end) (0-based, half-open) become `residues`. */
export interface Edit {
  start: number;
  end: number;
  residues: string;
}

/** Costs of an alignment, in tenths of a substitution; two gaps of one residue outweigh four substitutions. */
const SUBSTITUTION = 10;
const OPEN = 20;
const EXTEND = 1;
/** Cells of a table of alignment; larger ones would take too long for one variant. */
const MOST_CELLS = 2.5e7;

/**
 * The edits that turn one sequence into another: of their global alignment with affine gaps (Gotoh 1982), which tells a
 * deletion and an insertion from the substitutions that they look like in between. Neighbouring changes with a gap are
 * one edit; a gap stands as far towards the C-terminus as it can (HGVS's 3' rule).
 */
export function alignPair(before: string, after: string): Edit[] {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) {
    start++;
  }
  let tail = 0;
  while (tail < shorter - start && before[before.length - 1 - tail] === after[after.length - 1 - tail]) {
    tail++;
  }
  const [a, b] = [before.slice(start, before.length - tail), after.slice(start, after.length - tail)];
  const edits = coreEdits(a, b).map((edit) => ({ ...edit, start: edit.start + start, end: edit.end + start }));
  return edits.map((edit, i) => shifted(before, edit, edits[i + 1]?.start ?? before.length));
}

/** Edits of sequences that differ at both ends, or of which one is empty. */
function coreEdits(a: string, b: string): Edit[] {
  if (a === '' && b === '') {
    return [];
  }
  if (a.length === b.length) {
    const substitutions = [...b].flatMap((residues, start) =>
      residues === a[start] ? [] : [{ start, end: start + 1, residues }],
    );
    if (SUBSTITUTION * substitutions.length <= 2 * (OPEN + EXTEND)) {
      return substitutions;
    }
  }
  if (a === '' || b === '' || (a.length + 1) * (b.length + 1) > MOST_CELLS) {
    return [{ start: 0, end: a.length, residues: b }];
  }
  return editsOf(a, b, alignment(a, b));
}

/** Steps from the beginning to the end: both residues, one of a only, or one of b only. */
type Step = 'both' | 'deleted' | 'inserted';
const STEPS: readonly Step[] = ['both', 'deleted', 'inserted'];

function alignment(a: string, b: string): Step[] {
  const width = b.length + 1;
  // How the best alignment of two beginnings that ends with each step came about: two bits a step.
  const origins = new Uint8Array((a.length + 1) * width);
  const infinite = 1e9;
  let previous = STEPS.map(() => new Int32Array(width).fill(infinite));
  for (let i = 0; i <= a.length; i++) {
    const current = STEPS.map(() => new Int32Array(width).fill(infinite));
    for (let j = 0; j < width; j++) {
      if (i === 0 && j === 0) {
        current[0][0] = 0;
        continue;
      }
      let origin = 0;
      const enter = (step: number, costs: readonly Int32Array[] | undefined, column: number, cost: number) => {
        if (!costs || column < 0) {
          return;
        }
        let best = 0;
        let least = infinite;
        for (let from = 0; from < 3; from++) {
          const opening = step !== 0 && from !== step ? OPEN : 0;
          const total = costs[from][column] + opening;
          if (total < least) {
            [best, least] = [from, total];
          }
        }
        current[step][j] = Math.min(infinite, least + cost);
        origin |= best << (2 * step);
      };
      const above = i > 0 ? previous : undefined;
      enter(0, above, j - 1, i > 0 && j > 0 && a[i - 1] === b[j - 1] ? 0 : SUBSTITUTION);
      enter(1, above, j, EXTEND);
      enter(2, current, j - 1, EXTEND);
      origins[i * width + j] = origin;
    }
    previous = current;
  }
  const steps: Step[] = [];
  const last = previous.map((costs) => costs[b.length]);
  let step = last.indexOf(Math.min(...last));
  for (let i = a.length, j = b.length; i > 0 || j > 0; ) {
    steps.push(STEPS[step]);
    const origin = (origins[i * width + j] >> (2 * step)) & 3;
    i -= step === 2 ? 0 : 1;
    j -= step === 1 ? 0 : 1;
    step = origin;
  }
  return steps.reverse();
}

/** Changes that follow each other, split into substitutions where none of them is a gap. */
function editsOf(a: string, b: string, steps: readonly Step[]): Edit[] {
  const edits: Edit[] = [];
  let [i, j] = [0, 0];
  let run: { start: number; from: number; gap: boolean } | undefined;
  const close = () => {
    if (run?.gap) {
      edits.push({ start: run.start, end: i, residues: b.slice(run.from, j) });
    } else if (run) {
      for (let k = 0; k < i - run.start; k++) {
        edits.push({ start: run.start + k, end: run.start + k + 1, residues: b[run.from + k] });
      }
    }
    run = undefined;
  };
  for (const step of steps) {
    if (step === 'both' && a[i] === b[j]) {
      close();
    } else {
      run ??= { start: i, from: j, gap: false };
      run.gap ||= step !== 'both';
    }
    i += step === 'inserted' ? 0 : 1;
    j += step === 'deleted' ? 0 : 1;
  }
  close();
  return edits;
}

/** A pure deletion or insertion, as far to the right as the residues between it and the next edit let it go. */
function shifted(before: string, edit: Edit, next: number): Edit {
  let { start, end, residues } = edit;
  if (residues === '') {
    while (end < next && before[start] === before[end]) {
      start++;
      end++;
    }
  } else if (start === end) {
    while (end < next && before[end] === residues[0]) {
      residues = residues.slice(1) + residues[0];
      start++;
      end++;
    }
  }
  return { start, end, residues };
}
