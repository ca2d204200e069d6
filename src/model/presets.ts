/** Sizes of a preset. */
export interface ModelSizes {
  layers: number;
  hidden: number;
  heads: number;
  feedForward: number;
  /** Share of elements dropped from every sublayer's result in training. */
  dropout: number;
}

/** The presets of `--preset`; performer-36 is the paper's model (Choromanski et al. 2021, section 4.3). */
export const PRESETS = {
  'performer-36': { layers: 36, hidden: 512, heads: 8, feedForward: 1024, dropout: 0.1 },
  'performer-12': { layers: 12, hidden: 512, heads: 8, feedForward: 1024, dropout: 0 },
  'performer-6': { layers: 6, hidden: 256, heads: 8, feedForward: 1024, dropout: 0 },
  'performer-tiny': { layers: 4, hidden: 128, heads: 4, feedForward: 256, dropout: 0 },
} satisfies Record<string, ModelSizes>;

/** Tokens of the longest sequence that a new model takes, <cls> and <eos> included. */
export const DEFAULT_LENGTH = 1024;
