/** Bounds what a source may hold of the memory of the embedded broker. */

/** Of one source: as many messages of 16 kB as the default for messages. */
const SOURCE_UNKEPT_BYTES = 16_000_000;
/** Of all together: the last resort, once eight sources hold all they may. */
const ALL_UNKEPT_BYTES = 128_000_000;
/** What a message of no length takes: its packet, its place among those waiting, its promises. */
const MESSAGE_BYTES = 2000;

export interface Unkept<Source> {
  add(source: Source, bytes: number): void;
  remove(source: Source, bytes: number): void;
  /** No more may be read of it; without a source, of anybody. */
  isFull(source?: Source): boolean;
  count(): number;
  /** How many sources have all they may. */
  full(): number;
}

interface Share {
  messages: number;
  bytes: number;
  full: boolean;
}

/** What waits to be kept. Each source has a share, so that one whose messages cannot be kept delays no other. */
export function createUnacked<Source>({
  maxPerSource,
  onRoom,
}: {
  maxPerSource: number;
  onRoom: () => void;
}): Unkept<Source> {
  const all: Share = { messages: 0, bytes: 0, full: false };
  const shares = new Map<Source, Share>();

  function shareOf(source: Source): Share {
    let share = shares.get(source);
    if (!share) {
      share = { messages: 0, bytes: 0, full: false };
      shares.set(source, share);
    }
    return share;
  }

  /** True when there is room again: at half, or every message kept would wake every socket for one more. */
  function move(share: Share, messages: number, bytes: number, used: (share: Share) => number): boolean {
    share.messages += messages;
    share.bytes += bytes;
    const wasFull = share.full;
    share.full = wasFull ? used(share) > 0.5 : used(share) >= 1;
    return wasFull && !share.full;
  }

  function moveBoth(source: Source, messages: number, bytes: number): void {
    const ofSource = move(shareOf(source), messages, bytes, (share) =>
      Math.max(share.messages / maxPerSource, share.bytes / SOURCE_UNKEPT_BYTES),
    );
    const ofAll = move(all, messages, bytes, (share) => share.bytes / ALL_UNKEPT_BYTES);
    if (ofSource || ofAll) onRoom();
  }

  return {
    add: (source, bytes) => moveBoth(source, 1, bytes + MESSAGE_BYTES),
    remove: (source, bytes) => moveBoth(source, -1, -bytes - MESSAGE_BYTES),
    isFull: (source) => all.full || (source !== undefined && shareOf(source).full),
    count: () => all.messages,
    full: () => [...shares.values()].filter(({ full }) => full).length,
  };
}
