// Loaded before the command line (node --import). The GPU is lost, as when its driver is reset, while as many
// submissions are on their way to it as the environment variable LOSE_AT says; nothing else is told of it.
import { globals } from 'webgpu';

const adapter = globals.GPUAdapter.prototype;
const queue = globals.GPUQueue.prototype;
const { requestDevice } = adapter;
const { submit } = queue;

adapter.requestDevice = async function (...args) {
  const device = await requestDevice.apply(this, args);
  let submissions = 0;
  queue.submit = function (...commands) {
    submit.apply(this, commands);
    submissions += 1;
    if (submissions === Number(process.env.LOSE_AT)) {
      device.destroy();
    }
  };
  return device;
};
