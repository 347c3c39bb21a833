// The orders of one message to an agent, as bytes (docs/spec/messages.md).
//
// Tasks are mostly alike, and there are very many. So the order to start one says only in what its description differs from
// that of the order before it in the message, and an instance of a family only the values of its variables. Each message can be
// read by itself. Writing costs a comparison of two descriptions, and no copy; the reader writes each task out.
//
// The writer is used on the pilot's thread, so that the event loop has bytes to pass on and nothing more.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/messages.hpp"
#include "core/result.hpp"
#include "core/start_order.hpp"

namespace trireme {

class OrderWriter {
 public:
  /// The family stays where it is until take().
  void add(const StartOrder& order);
  void add(const ToAgent& order);
  bool empty() const { return bytes_.empty(); }
  std::size_t size() const { return bytes_.size(); }
  /// The message, for stamp_epoch(). What is added then begins another one.
  std::string take();

 private:
  std::string bytes_;
  const TaskDescription* before_ = nullptr;   ///< the description in the order before; null: in none yet
  const TaskFamily* variables_of_ = nullptr;  ///< whose variables were named last
  std::unique_ptr<TaskFamily> kept_;          ///< of a task that the pilot does not hold as it is sent
};

/// Says which endpoint epoch the agent must know before it takes these orders.
void stamp_epoch(std::string& orders, std::uint64_t epoch);
/// What stamp_epoch() said; nothing if these are no orders.
std::optional<std::uint64_t> epoch_of(std::string_view orders);
/// Hands out one order after the other. An error if one cannot be read; those before it have been handed out then.
Status read_orders(std::string_view orders, const std::function<void(ToAgent)>& take);

}  // namespace trireme
