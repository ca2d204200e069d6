import fc from 'fast-check';

/** Property tests see the same cases in every run. */
fc.configureGlobal({ seed: 20_261_122 });
