import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The GPU's handle with everything that was asked of it. */
export interface OpenDevice {
  device: GPUDevice;
  info: GPUAdapterInfo;
  /** Runs on the processor: right, but slow. */
  software: boolean;
  /** For people: name, driver, and what of it is used. */
  description: string;
}

/** What was found, and where nothing was: why, and what to do about it. */
export type Found = { adapter: GPUAdapter; gpu: GPU } | { reason: string; install?: string };

// Taken where the adapter has them: 16-bit floats, threads that exchange values and how many do, matrix units, times of
// kernels.
const FEATURES = [
  'shader-f16',
  'subgroups',
  'subgroup-size-control',
  'chromium-experimental-subgroup-matrix',
  'timestamp-query',
];
// WebGPU grants the smallest common limits unless asked for more: the adapter's own are asked for.
const LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupsPerDimension',
] as const;

// Matrix units are behind this switch until their WGSL is final; exact times need the other one.
const DAWN_OPTIONS = ['enable-dawn-features=allow_unsafe_apis', 'disable-dawn-features=timestamp_quantization'];

/**
 * Looks for a GPU, the fastest of several. VK_DRIVER_FILES and Vulkan's other variables choose the driver.
 * @param backend Dawn's backend; `null` computes nothing, for measuring what JavaScript costs
 */
export async function findAdapter(backend?: 'null'): Promise<Found> {
  // Without any driver Dawn fails as well, but complains on standard error.
  if (!backend && !hasDriver()) {
    return whyNone();
  }
  let dawn: typeof import('webgpu');
  try {
    dawn = await import('webgpu');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND';
    return missing
      ? { reason: "the package 'webgpu' is not installed", install: 'npm install webgpu' }
      : { reason: `Dawn does not load: ${firstLine(error)}` };
  }
  Object.assign(globalThis, dawn.globals);
  try {
    const gpu = dawn.create(backend ? [...DAWN_OPTIONS, `backend=${backend}`] : DAWN_OPTIONS);
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    return adapter ? { adapter, gpu } : whyNone();
  } catch (error) {
    return { ...whyNone(), reason: `no GPU: ${firstLine(error)}` };
  }
}

/** Whether an adapter computes on the processor: SwiftShader, lavapipe. */
export function isSoftware(adapter: GPUAdapter): boolean {
  return adapter.info.isFallbackAdapter;
}

/** Its name for people. */
export function describeAdapter({ info }: GPUAdapter): string {
  return info.device || info.description || info.vendor || 'unknown GPU';
}

/** Opens the adapter with all of its features and limits that are of use here. */
export async function openDevice(adapter: GPUAdapter): Promise<OpenDevice> {
  const requiredFeatures = FEATURES.filter((feature) => adapter.features.has(feature)) as GPUFeatureName[];
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
  const device = await adapter.requestDevice({ requiredFeatures, requiredLimits });
  const software = isSoftware(adapter);
  const extras = [
    ...(software ? ['software'] : []),
    ...requiredFeatures.map((name) => name.replace('chromium-experimental-', '')),
  ];
  return { device, info: adapter.info, software, description: `${describeAdapter(adapter)} (${extras.join(', ')})` };
}

function firstLine(error: unknown): string {
  return String((error as Error).message ?? error).split('\n')[0];
}

/** Whether Vulkan's loader would find a driver's manifest; other systems bring their drivers along. */
function hasDriver(): boolean {
  if (process.platform !== 'linux') {
    return true;
  }
  const { env } = process;
  const named = env.VK_DRIVER_FILES ?? env.VK_ICD_FILENAMES;
  if (named) {
    return named.split(':').some((path) => existsSync(path));
  }
  const shared = (env.XDG_DATA_DIRS || '/usr/local/share:/usr/share').split(':');
  const own = env.XDG_DATA_HOME || join(homedir(), '.local/share');
  return ['/usr/local/etc', '/etc', own, ...shared].some((folder) => {
    const manifests = join(folder, 'vulkan/icd.d');
    return existsSync(manifests) && readdirSync(manifests).some((file) => file.endsWith('.json'));
  });
}

/** Why Dawn finds no GPU on this machine, as far as one can see from outside. */
function whyNone(): { reason: string; install?: string } {
  if (process.platform !== 'linux') {
    return { reason: 'no GPU with a driver for it' };
  }
  if (!loads('libvulkan.so.1')) {
    return {
      reason: 'the Vulkan loader libvulkan.so.1 is missing',
      install: 'apt-get install libvulkan1 (Fedora: vulkan-loader), and the driver of the GPU',
    };
  }
  if (existsSync('/proc/driver/nvidia/version')) {
    return {
      reason: 'the NVIDIA driver is here without its Vulkan part, or VK_DRIVER_FILES does not name its nvidia_icd.json',
      install: 'apt-get install libnvidia-gl-VERSION (of the version in /proc/driver/nvidia/version) libegl1 libxext6',
    };
  }
  if (existsSync('/dev/dri')) {
    return { reason: 'a GPU without a Vulkan driver', install: 'apt-get install mesa-vulkan-drivers (AMD, Intel)' };
  }
  return { reason: 'no GPU that a Vulkan driver knows' };
}

/** Whether the system's loader finds a library: it is no addon, so loading it fails, but with another complaint. */
function loads(library: string): boolean {
  try {
    process.dlopen({ exports: {} }, library);
  } catch (error) {
    return !(error as Error).message.includes('cannot open shared object file');
  }
  return true;
}
