// Registers our kernels with tfjs.
import './adamW.js';
import './cast.js';
import './addLayerNorm.js';
import './favorReluAttention.js';
import './gatherRows.js';
import './linear.js';
import './maskedCrossEntropy.js';
import './rotary.js';
import './softmaxAttention.js';
import './tokenEmbedding.js';
import './transpose.js';
