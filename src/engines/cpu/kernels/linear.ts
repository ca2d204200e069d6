import { kernel } from './kernel.js';

interface LinearAttributes {
  activation: 'none' | 'gelu';
}

export const linear = kernel<LinearAttributes>('Linear', ({ inputs: { x, w, b }, attrs, backend }) => {
  const [rows, width] = x.shape;
  const [outputs] = w.shape;
  const gelu = attrs.activation === 'gelu';
  const y = backend.output([rows, outputs]);
  const preActivation = gelu ? backend.output([rows, outputs]) : undefined;
  backend.addon.linear(
    rows,
    width,
    outputs,
    backend.floats(x),
    backend.floats(w),
    b && backend.floats(b),
    gelu,
    backend.floats(y),
    preActivation && backend.floats(preActivation),
  );
  return preActivation ? [y, preActivation] : [y];
});

export const linearGrad = kernel<LinearAttributes>('LinearGrad', ({ inputs, backend }) => {
  const { dy, x, w, b, aux0: preActivation } = inputs;
  const [rows, width] = x.shape;
  const [outputs] = w.shape;
  const dx = backend.output([rows, width]);
  const dw = backend.output([outputs, width]);
  const db = b && backend.output([outputs]);
  const room = preActivation && backend.output([rows, outputs]);
  backend.addon.linearGrad(
    rows,
    width,
    outputs,
    backend.floats(dy),
    backend.floats(x),
    backend.floats(w),
    preActivation && backend.floats(preActivation),
    room && backend.floats(room),
    backend.floats(dx),
    backend.floats(dw),
    db && backend.floats(db),
  );
  if (room) {
    backend.disposeData(room.dataId);
  }
  return db ? [dx, dw, db] : [dx, dw];
});
