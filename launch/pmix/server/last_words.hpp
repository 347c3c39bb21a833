// What a server that crashes says of itself: the signal and where it was, on stderr, which is its log.
#pragma once

namespace trireme::pmix {

/// For SEGV, BUS, FPE, ILL and ABRT. The process dies of the signal all the same.
void say_last_words();

}  // namespace trireme::pmix
