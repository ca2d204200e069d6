/// <reference types="long" preserve="true" />
export * from './alignment/index.js';
export * from './data/index.js';
export * from './engines/index.js';
export * from './formats/index.js';
export * from './interpret/index.js';
export * from './model/index.js';
export * from './ops/index.js';
export * from './report/index.js';
export * from './scoring/index.js';
export * from './structures/index.js';
export * from './training/index.js';
