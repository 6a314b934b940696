"""Events a second of SimPy. Arguments: processes, events."""

import sys
import time

import simpy

processes, events = int(sys.argv[1]), int(sys.argv[2])
environment = simpy.Environment()


def sleeper(number):
    for _ in range(events // processes):
        yield environment.timeout(1 + 0.137 * number)


for n in range(processes):
    environment.process(sleeper(n))
began = time.perf_counter()
environment.run()
print(events / (time.perf_counter() - began))
