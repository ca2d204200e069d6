import { ROTARY } from '../../../ops/rotary.js';
import { allocate, launchElements } from './launch.js';
import { kernel, sizeOf } from './register.js';

// A GPU's own sine is good to 2⁻¹¹ only: this one to float32, after taking out multiples of π/2 in three steps
// (Cody & Waite; polynomials of Cephes' sinf and cosf).
const SINE_AND_COSINE = `
fn sine_and_cosine(x: f32) -> vec2f {
  let quarter = round(x * 0.6366197723675814);
  var r = fma(quarter, -1.5703125, x);
  r = fma(quarter, -4.837512969970703125e-4, r);
  r = fma(quarter, -7.54978995489188216e-8, r);
  let z = r * r;
  let s = r + r * z * (-1.6666654611e-1 + z * (8.3321608736e-3 - z * 1.9515295891e-4));
  let k = 1.0 - 0.5 * z + z * z * (4.166664568298827e-2 + z * (-1.388731625493765e-3 + z * 2.443315711809948e-5));
  switch (i32(quarter) & 3) {
    case 0: { return vec2f(s, k); }
    case 1: { return vec2f(k, -s); }
    case 2: { return vec2f(-s, -k); }
    default: { return vec2f(-k, s); }
  }
}`;

export const rotary = kernel(ROTARY, ({ inputs: { qkv, inverseFrequencies }, attributes, backend }) => {
  const { heads, inverse } = attributes;
  const [, length, width] = qkv.shape;
  const out = allocate(backend, qkv.shape);
  launchElements(backend, {
    name: 'Rotary',
    inputs: { qkv, inverseFrequencies },
    outputs: { out },
    constants: { length, width, size: width / 3 / heads },
    floats: { sign: inverse ? -1 : 1 },
    declarations: SINE_AND_COSINE,
    body: `
    let column = i % c.width;
    var value = qkv[i];
    if (column < c.width / 3u * 2u) {
      let half = c.size / 2u;
      let j = column % c.size;
      let turn = sine_and_cosine(f32(i / c.width % c.length) * inverseFrequencies[j % half]);
      if (j < half) {
        value = value * turn.y - c.sign * qkv[i + half] * turn.x;
      } else {
        value = value * turn.y + c.sign * qkv[i - half] * turn.x;
      }
    }
    out[i] = value;`,
    size: sizeOf(qkv.shape),
  });
  return { y: out };
});
