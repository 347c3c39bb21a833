#include "simulate/workload.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace trireme::simulate {
namespace {

constexpr double most_gpus = 1024;  ///< of a rank, as of a node

bool read_count(const std::string& text, std::uint32_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

bool read_number(const std::string& text, double& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out >= 0 && std::isfinite(out);
}

bool read(Kind& kind, std::string_view key, const std::string& value) {
  TaskDescription& task = kind.task;
  if (key == "name") {
    kind.name = value;
    return !value.empty();
  }
  if (key == "ranks") return read_count(value, task.ranks) && task.ranks > 0;
  if (key == "ranks_per_node") return read_count(value, task.ranks_per_node);
  if (key == "cores") return read_count(value, task.per_rank.cores);
  if (key == "weight") return read_number(value, kind.weight) && kind.weight > 0;
  if (key == "gpus") {
    double gpus = 0;
    if (!read_number(value, gpus) || gpus > most_gpus) return false;
    task.per_rank.gpus = static_cast<MilliGpus>(std::lround(gpus * whole_gpu));
    return true;
  }
  if (key == "memory") {
    const auto size = parse_size(value);
    if (size) task.per_rank.memory = *size;
    return size.ok();
  }
  if (key == "priority") {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), task.priority);
    return error == std::errc{} && end == value.data() + value.size();
  }
  return false;
}

}  // namespace

Result<Kind> parse_kind(std::string_view text) {
  Kind kind;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view part = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos || !read(kind, part.substr(0, equals), std::string(part.substr(equals + 1)))) {
      return Error{std::string(part) + " is not understood in the shape " + std::string(text), "",
                   "write for example ranks=64,cores=56,gpus=8,memory=4G,weight=0.001", ExitCode::usage};
    }
  }
  return kind;
}

std::vector<TaskFamily> make_workload(const std::vector<Kind>& kinds, std::uint32_t count, std::uint32_t run_length,
                                      std::uint64_t seed) {
  std::vector<TaskFamily> families;
  double all = 0;
  for (const Kind& kind : kinds) all += kind.weight;
  // A kind of which there are few comes one at a time, so that it comes all the while.
  const auto run_of = [&](std::size_t k) {
    const double share = kinds[k].weight / all * count;
    return std::min(run_length, std::max(1u, static_cast<std::uint32_t>(share / 1000)));
  };
  // The kind that is the most runs behind its part of the whole is a good mixture already; the seed shakes it a little.
  std::vector<double> made(kinds.size(), 0);
  std::uint32_t left = count;
  for (std::uint32_t run = 0; left > 0; ++run) {
    std::size_t chosen = 0;
    double most = std::numeric_limits<double>::lowest();
    for (std::size_t k = 0; k < kinds.size(); ++k) {
      const double due = kinds[k].weight / all * static_cast<double>(count - left + run_length) - made[k];
      const double shaken = due / run_of(k) + chance_of(seed, run, static_cast<std::uint32_t>(k), 0) * 0.5;
      if (shaken > most) {
        most = shaken;
        chosen = k;
      }
    }
    const std::uint32_t length = std::min(left, run_of(chosen));
    TaskDescription task = kinds[chosen].task;
    task.name =
        (kinds[chosen].name.empty() ? "kind" + std::to_string(chosen) : kinds[chosen].name) + "-" + std::to_string(run);
    task.command = {Template::literal("true")};
    families.emplace_back(std::move(task), std::vector{FamilyVariable{"i", VariableValues(0, length)}}, false);
    made[chosen] += length;
    left -= length;
  }
  return families;
}

}  // namespace trireme::simulate
