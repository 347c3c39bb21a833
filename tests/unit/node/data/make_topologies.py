#!/usr/bin/python3
"""Makes the topologies beside it: lstopo's synthetic ones, with GPUs and kinds of cores put in by hand.

Run it in this folder where one is to be changed; needs lstopo (Debian: hwloc-nox).
"""

import re
import subprocess
import xml.etree.ElementTree as tree

AMD, NVIDIA = "0380 [1002:7408] [1002:0b0c] 01", "0302 [10de:20b0] [10de:144e] a1"


def synthetic(description):
    out = subprocess.run(["lstopo-no-graphics", "--input", description, "--of", "xml", "-"], check=True, capture_output=True, text=True).stdout
    return tree.ElementTree(tree.fromstring(re.sub("<!DOCTYPE[^>]*>", "", out)))


def renumber_threads(topology, cores):
    """The second thread of core n is CPU n + cores, as these machines number them."""
    mask = lambda bits: ",".join("0x%08x" % (bits >> shift & 0xFFFFFFFF) for shift in range((bits.bit_length() - 1) // 32 * 32, -1, -32))
    number = lambda cpu: cpu // 2 + cpu % 2 * cores
    for element in topology.iter("object"):
        for name in ("cpuset", "complete_cpuset", "allowed_cpuset"):
            if name in element.attrib:
                old = int("".join(part[2:].zfill(8) for part in element.get(name).split(",")), 16)
                element.set(name, mask(sum(1 << number(cpu) for cpu in range(old.bit_length()) if old >> cpu & 1)))
        if element.get("type") == "PU":
            element.set("os_index", str(number(int(element.get("os_index")))))


def attach(topology, kind, places):
    """A GPU with this PCI address under the n-th object of that type, for each (n, address)."""
    parents = [element for element in topology.iter("object") if element.get("type") == kind]
    for number, (place, bus, pci_type) in enumerate(places):
        parent = parents[place]
        if kind == "NUMANode":  # memory hangs beside the cores: what has the cores is above it
            parent = next(element for element in topology.iter("object") if parents[place] in list(element))
        bridge = tree.SubElement(parent, "object", type="Bridge", gp_index=str(10000 + 2 * number), bridge_type="0-1", depth="0", bridge_pci=f"0000:[{bus}-{bus}]")
        tree.SubElement(bridge, "object", type="PCIDev", gp_index=str(10001 + 2 * number), pci_busid=f"0000:{bus}:00.0", pci_type=pci_type, pci_link_speed="31.5")


def write(topology, name):
    tree.indent(topology)
    with open(name + ".xml", "wb") as file:
        file.write(b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE topology SYSTEM "hwloc2.dtd">\n')
        topology.write(file)
        file.write(b"\n")


# 64 cores, 8 L3 caches, 4 NUMA domains; GPUs 4, 5, 2, 3, 6, 7, 0, 1 next to the caches in order.
frontier = synthetic("numa:4(memory=137438953472) l3:2 core:8 pu:2")
renumber_threads(frontier, 64)
attach(frontier, "L3Cache", [(6, "c1", AMD), (7, "c6", AMD), (2, "c9", AMD), (3, "ce", AMD), (0, "d1", AMD), (1, "d6", AMD), (4, "d9", AMD), (5, "de", AMD)])
write(frontier, "frontier-like")

# 64 cores, 8 L3 caches, 4 NUMA domains, a GPU at each domain; the first one is at the last domain.
delta = synthetic("numa:4(memory=68719476736) l3:2 core:8 pu:1")
attach(delta, "NUMANode", [(3, "07", NVIDIA), (2, "46", NVIDIA), (1, "85", NVIDIA), (0, "c7", NVIDIA)])
write(delta, "delta-like")

# Two sockets of 48 cores, each with one domain and one L3 cache.
write(synthetic("package:2 numa:1(memory=206158430208) l3:1 core:48 pu:2"), "two-sockets-96-cores")

# A laptop: 6 fast cores with two threads, 8 slow ones with one, under one cache.
laptop = synthetic("package:1 numa:1(memory=34359738368) l3:1 core:14 pu:2")
for core in [element for element in laptop.iter("object") if element.get("type") == "Core"][6:]:
    first, second = core.findall("object")
    core.remove(second)
    for name in ("cpuset", "complete_cpuset"):
        core.set(name, first.get(name))
all_cpus = sum(int(core.get("cpuset").replace(",0x", ""), 16) for core in laptop.iter("object") if core.get("type") == "Core")
for element in laptop.iter("object"):
    if element.get("type") in ("Machine", "Package", "NUMANode", "L3Cache", "Group"):
        for name in ("cpuset", "complete_cpuset", "allowed_cpuset"):
            if name in element.attrib:
                element.set(name, "0x%08x" % all_cpus)
fast = 0xFFF
for cpus, efficiency in ((all_cpus & ~fast, 0), (fast, 1)):
    tree.SubElement(laptop.getroot(), "cpukind", cpuset="0x%08x" % cpus, forced_efficiency=str(efficiency))
write(laptop, "two-kinds-of-core")
