// Registers the gradients of all tfjs operations, which tfjs-core alone leaves out: the union package is the only one
// that carries them in a form that Node.js loads. Imported by what trains.
import '@tensorflow/tfjs';
