// Registers the gradients of all tfjs operations, which tfjs-core alone leaves out. Imported by what trains.
import './tfjsGradients.js';
