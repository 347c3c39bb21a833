#include "fabric/epochs.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace trireme::fabric {

void append_epoch(std::string& out, std::uint64_t number, std::string_view payload) {
  const auto length = static_cast<std::uint32_t>(payload.size());
  out.append(reinterpret_cast<const char*>(&number), sizeof number);
  out.append(reinterpret_cast<const char*>(&length), sizeof length);
  out.append(payload);
}

bool read_epochs(std::string_view data,
                 const std::function<void(std::uint64_t number, std::string_view payload)>& each) {
  while (!data.empty()) {
    std::uint64_t number = 0;
    std::uint32_t length = 0;
    if (data.size() < sizeof number + sizeof length) return false;
    std::memcpy(&number, data.data(), sizeof number);
    std::memcpy(&length, data.data() + sizeof number, sizeof length);
    data.remove_prefix(sizeof number + sizeof length);
    if (length > data.size()) return false;
    each(number, data.substr(0, length));
    data.remove_prefix(length);
  }
  return true;
}

EpochLog::EpochLog(Rank ranks) : holders_(static_cast<std::size_t>(ranks)), behind_(holders_.size()) {}

std::uint64_t EpochLog::publish(std::string payload, SteadyTime now) {
  kept_.push_back({std::move(payload), now});
  return ++last_;
}

std::string EpochLog::take_batch(std::size_t limit) {
  std::string batch;
  // What all hold already, by repair, needs no broadcast.
  batched_ = std::max(batched_, acknowledged_);
  while (batched_ < last_) {
    const std::string& payload = at(batched_ + 1).payload;
    if (!batch.empty() && batch.size() + payload.size() > limit) break;
    append_epoch(batch, ++batched_, payload);
  }
  return batch;
}

void EpochLog::acknowledge(Rank rank, std::uint64_t number) {
  Holder& holder = holders_[static_cast<std::size_t>(rank)];
  number = std::min(number, last_);
  if (!holder.living || number <= holder.held) return;
  if (holder.held <= acknowledged_) --behind_;
  holder.held = number;
  advance();
}

void EpochLog::forget(Rank rank) {
  Holder& holder = holders_[static_cast<std::size_t>(rank)];
  if (!holder.living) return;
  holder.living = false;
  if (holder.held <= acknowledged_) --behind_;
  advance();
}

void EpochLog::advance() {
  if (behind_ > 0) return;
  std::uint64_t lowest = last_;
  for (const Holder& holder : holders_) {
    if (holder.living) lowest = std::min(lowest, holder.held);
  }
  acknowledged_ = lowest;
  behind_ = static_cast<std::size_t>(std::count_if(holders_.begin(), holders_.end(), [lowest](const Holder& holder) {
    return holder.living && holder.held == lowest;
  }));
  while (first_kept_ <= acknowledged_) {
    kept_.pop_front();
    ++first_kept_;
  }
}

std::vector<std::string> EpochLog::repair(Rank rank, SteadyTime cutoff, std::size_t limit) {
  std::vector<std::string> messages;
  Holder& holder = holders_[static_cast<std::size_t>(rank)];
  std::uint64_t number = std::max(holder.held, holder.repaired) + 1;
  for (; holder.living && number <= last_ && at(number).published <= cutoff; ++number) {
    const std::string& payload = at(number).payload;
    if (messages.empty() || messages.back().size() + payload.size() > limit) {
      messages.emplace_back();
    }
    append_epoch(messages.back(), number, payload);
    holder.repaired = number;
  }
  return messages;
}

void EpochReceiver::accept(std::uint64_t number, std::string_view payload, const Deliver& deliver) {
  if (number <= held_) return;
  if (number != held_ + 1) {
    early_.emplace(number, payload);
    return;
  }
  held_ = number;
  deliver(number, payload);
  for (auto next = early_.begin(); next != early_.end() && next->first <= held_ + 1; next = early_.begin()) {
    const auto [early_number, early_payload] = std::move(*next);
    early_.erase(next);
    if (early_number <= held_) continue;
    held_ = early_number;
    deliver(early_number, early_payload);
  }
}

}  // namespace trireme::fabric
