// Loads every operation that declares kernels, so that declaredKernels() tells all of them.
import './adamW.js';
import './addLayerNorm.js';
import './favorReluAttention.js';
import './favorSoftmaxAttention.js';
import './favorTrigAttention.js';
import './gatherRows.js';
import './linear.js';
import './lshAttention.js';
import './maskedCrossEntropy.js';
import './rotary.js';
import './softmaxAttention.js';
import './tokenEmbedding.js';
