#include "observe/json_values.hpp"

namespace trireme::observe {

OrderedJson failures_json(const RunView& run, std::size_t most, std::size_t longest_reason) {
  constexpr std::array kinds{"attempt", "task", "replica", "node"};
  OrderedJson rows = OrderedJson::array();
  for (auto failure = run.failures().rbegin(); failure != run.failures().rend() && rows.size() < most; ++failure) {
    rows.push_back({{"time", time_of(failure->time)},
                    {"kind", kinds.at(static_cast<std::size_t>(failure->kind))},
                    {"subject", cut_short(failure->subject, longest_reason)},
                    {"replica", failure->replica},
                    {"attempt", failure->attempt},
                    {"rank", failure->rank},
                    {"reason", cut_short(failure->reason, longest_reason)}});
  }
  return rows;
}

}  // namespace trireme::observe
