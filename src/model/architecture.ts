/** What a network is made of, whoever wrote its checkpoint: sizes, and the parts that families differ in. */
export interface Architecture {
  /** Tokens of its vocabulary. */
  tokens: number;
  /** Rows of the embedding, and logits of the head: the tokens, and more where the vocabulary is padded. */
  vocabulary: number;
  layers: number;
  /** Width D of the residual stream. */
  hidden: number;
  heads: number;
  /** Width of the feed-forward network. */
  inner: number;
  /** Share of elements dropped from every sublayer's result in training. */
  dropout: number;
  /** LayerNorm (Ba et al. 2016) or RMSNorm (Zhang & Sennrich 2019), before each sublayer and after the last. */
  norm: 'layer' | 'rms';
  /** Added to the variance, or to the mean square. */
  normEpsilon: number;
  /** Whether the norms of the blocks have a bias, and whether the last one has. RMSNorms have none. */
  normBias: { blocks: boolean; last: boolean };
  /** Whether there is a norm after the last block. */
  lastNorm: boolean;
  /** gelu(x Wᵀ + b) Vᵀ + c, or silu(x Wᵀ) ⊙ (x Uᵀ) Vᵀ (Shazeer 2020). */
  feedForward: 'gelu' | 'swiglu';
  /** Whether the projections of the attention, and those of the feed-forward network, have biases. */
  biases: { attention: boolean; feedForward: boolean };
  /** LayerNorm without bias on queries and on keys, over the whole width (Dehghani et al. 2023). */
  queryKeyNorm: boolean;
  /** What each sublayer's result is divided by before it is added. */
  residualScale: number;
  /** Learned for each position, or rotary (Su et al. 2021): turning element i with i + d/2, or 2 i with 2 i + 1. */
  positions: 'absolute' | 'rotary-halves' | 'rotary-interleaved';
  /** Rows of the position table where positions are absolute, of which those up to the padding's are not used. */
  positionRows: number;
  /** Base of the angles of rotary positions, where a checkpoint brings none. */
  rotaryBase: number;
  padId: number;
  maskId: number;
  /** Whether the embeddings pass a norm before the first block. */
  embeddingNorm: boolean;
  /** ESM-2's rescaling of embeddings by the share of <mask>, whose own are zero. */
  tokenDropout: boolean;
  /** ESM's head: dense, GELU, LayerNorm, decoder; a decoder alone; or none. */
  head: 'esm' | 'linear' | 'none';
  /** Whether the decoder's weights are the embedding's. */
  tied: boolean;
  /** A head that was fine-tuned elsewhere: on <cls> (dense, tanh, dense), or on each token (dense). */
  classifier?: {
    of: 'sequence' | 'token';
    /** What its outputs are called; a single one is a value. */
    labels: string[];
  };
}

/** ESM-2's skeleton (Lin et al. 2023), sizes and token ids left out: what other families differ from. */
export const ESM_SKELETON = {
  dropout: 0,
  norm: 'layer',
  normEpsilon: 1e-5,
  normBias: { blocks: true, last: true },
  lastNorm: true,
  feedForward: 'gelu',
  biases: { attention: true, feedForward: true },
  queryKeyNorm: false,
  residualScale: 1,
  positions: 'rotary-halves',
  rotaryBase: 10_000,
  embeddingNorm: false,
  tokenDropout: true,
  head: 'esm',
  tied: true,
} as const satisfies Partial<Architecture>;
