#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "thread_pool.h"

#if defined(__linux__)
#include <sched.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace protein_lm {
namespace {

#if defined(__linux__)

// Cores behind the processors of the affinity mask: hyperthreads of one core share its name.
size_t cores_allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &set)) continue;
    std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list");
    std::string siblings;
    if (!std::getline(file, siblings)) siblings = std::to_string(cpu);
    cores.insert(siblings);
  }
  return cores.size();
}

size_t whole_cpus(double quota, double period) {
  if (quota <= 0 || period <= 0) return 0;
  const auto cpus = static_cast<size_t>(quota / period);
  return cpus == 0 ? 1 : cpus;
}

// The smallest limit on the way from this process's cgroup to the root; 0 when there is none.
size_t cgroup_limit() {
  std::ifstream groups("/proc/self/cgroup");
  size_t limit = 0;
  const auto take = [&](size_t cpus) {
    if (cpus != 0 && (limit == 0 || cpus < limit)) limit = cpus;
  };
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    const bool v2 = controllers.empty();
    if (!v2 && ("," + controllers + ",").find(",cpu,") == std::string::npos) continue;
    const std::string root = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
    for (;;) {
      if (path == "/") path.clear();
      double quota = 0, period = 0;
      if (v2) {
        std::ifstream file(root + path + "/cpu.max");
        if (file >> quota >> period) take(whole_cpus(quota, period));
      } else {
        std::ifstream quota_file(root + path + "/cpu.cfs_quota_us"), period_file(root + path + "/cpu.cfs_period_us");
        if (quota_file >> quota && period_file >> period) take(whole_cpus(quota, period));
      }
      if (path.empty()) break;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  return limit;
}

#elif defined(__APPLE__)

size_t cores_allowed() {
  int cores = 0;
  size_t size = sizeof cores;
  // Performance cores only: static work waits for the slowest core.
  if (sysctlbyname("hw.perflevel0.physicalcpu", &cores, &size, nullptr, 0) == 0 && cores > 0) return cores;
  size = sizeof cores;
  if (sysctlbyname("hw.physicalcpu", &cores, &size, nullptr, 0) == 0 && cores > 0) return cores;
  return 0;
}
size_t cgroup_limit() { return 0; }

#else

size_t cores_allowed() { return 0; }
size_t cgroup_limit() { return 0; }

#endif

size_t count_cpus() {
  size_t cores = cores_allowed();
  if (cores == 0) cores = std::thread::hardware_concurrency();
  if (cores == 0) cores = 1;
  const size_t limit = cgroup_limit();
  return limit != 0 && limit < cores ? limit : cores;
}

}  // namespace

size_t default_threads() {
  static const size_t count = count_cpus();
  return count;
}

}  // namespace protein_lm
