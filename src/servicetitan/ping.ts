/** The one place where a reading becomes a ping: ServiceTitan's field names, units and words. */
