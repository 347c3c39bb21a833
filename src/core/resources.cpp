#include "core/resources.hpp"

#include "core/units.hpp"

namespace trireme {
namespace {

std::string gpu_count(MilliGpus gpus) {
  std::string out = std::to_string(gpus / whole_gpu);
  if (gpus % whole_gpu != 0) {
    std::string thousandths = std::to_string(whole_gpu + gpus % whole_gpu).substr(1);
    thousandths.erase(thousandths.find_last_not_of('0') + 1);
    out += "." + thousandths;
  }
  return out;
}

}  // namespace

std::string to_string(const Resources& resources) {
  std::string out;
  auto add = [&out](const std::string& part) { out += (out.empty() ? "" : ", ") + part; };
  if (resources.cores > 0) add(std::to_string(resources.cores) + (resources.cores == 1 ? " core" : " cores"));
  if (resources.gpus > 0) add(gpu_count(resources.gpus) + (resources.gpus == whole_gpu ? " GPU" : " GPUs"));
  if (resources.memory > 0) {
    const std::string size = format_size(resources.memory);
    add(size + (size.back() <= '9' ? " bytes memory" : " memory"));
  }
  return out.empty() ? "nothing" : out;
}

}  // namespace trireme
